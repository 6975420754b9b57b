"""The disk, watched in a thread of its own that cancels what fills it, whatever else is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, Self

import psycopg
from msgspec import Struct

from cli.maintenance import places, progress, target
from cli.maintenance.connecting import Connection
from cli.maintenance.progress import Trend
from cli.maintenance.size import size
from cli.maintenance.target import Target

LOOK_S: Final = 0.05


class Disk(Struct, frozen=True, kw_only=True):
    """A file system now. `falling`: bytes a second by which its free space falls."""

    path: str
    free_bytes: int
    floor_bytes: int
    falling: float


class Guard:
    """Looks at each disk every twentieth of a second while the block runs.

    `floors`: what must stay free, by path. `why`: the operation was cancelled, or would have been
    without `abort`; `trouble`: the disks can't be looked at any longer. `least_bytes`: that were
    free. The connection is used by the thread alone.
    """

    def __init__(
        self, connection: Connection, floors: Mapping[str, int], found: Target, *, abort: bool
    ) -> None:
        self._connection = connection
        self._floors = floors
        self._found = found
        self._abort = abort
        self._trends = {path: Trend() for path in floors}
        self._free = dict.fromkeys(floors, 0)
        self._at_first: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.least_bytes: int | None = None
        self.why = ""
        self.trouble = ""

    def __enter__(self) -> Self:
        """Look once, then begin to look on."""
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    @property
    def disks(self) -> Sequence[Disk]:
        """Each disk as it was at the last look."""
        return [
            Disk(
                path=path,
                free_bytes=self._free[path],
                floor_bytes=floor,
                falling=self._trends[path].falling,
            )
            for path, floor in self._floors.items()
        ]

    def _run(self) -> None:
        cancelled = False
        try:
            while not self._over.wait(LOOK_S):
                self._look()
                if self.why and self._abort and not cancelled:
                    target.end(self._connection, self._found, by_force=False)
                    cancelled = True
        except OSError as error:
            self.trouble = f"{error.filename} can't be looked at: {error.strerror}"
        except psycopg.Error as error:
            self.trouble = f"pid {self._found.pid} could not be cancelled: {error}"

    def _look(self) -> None:
        for path, floor in self._floors.items():
            free, _ = places.free(path)
            self._free[path] = free
            self.least_bytes = free if self.least_bytes is None else min(self.least_bytes, free)
            # One that is as full as ever is none that this fills.
            filled = free < self._at_first.setdefault(path, free)
            trend = self._trends[path]
            trend.add(time.monotonic(), free)
            if not self.why and filled and progress.must_end(free, floor, trend.falling_fast):
                self.why = (
                    f"{path} has {size(free)} free, which falls by {size(trend.falling_fast)}/s, "
                    f"and {size(floor)} must stay"
                )
