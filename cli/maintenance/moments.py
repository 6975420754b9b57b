"""What a watch tells: how it stands, when it is ended, what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cli.maintenance.guarding import Disk
from cli.maintenance.target import Waiting


class Moment(Struct, frozen=True, kw_only=True):
    """How it stands. `left_s`: least and most; None: nobody can say. `share` None: not known."""

    pid: int
    statement: str
    index: str
    phase: str
    share: float | None
    elapsed_s: float
    left_s: tuple[float, float] | None
    disks: Sequence[Disk]
    waiting: Waiting


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of it. `done` None: it ended, and what came of it can't be told.

    `aborted`: why it was ended from here, empty where it wasn't. `left_behind`: invalid indexes.
    """

    done: bool | None
    aborted: str
    by_force: bool
    elapsed_s: float
    least_free_bytes: int | None
    left_behind: Sequence[str]


class Limits(Struct, frozen=True, kw_only=True):
    """When it is ended. `floor_bytes` None: by the disk's size; `blocked_s` None: never by that."""

    floor_bytes: int | None = None
    blocked_s: float | None = None
    abort: bool = True
