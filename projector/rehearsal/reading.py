"""What a rehearsal reads and how often it tries: the log, and a replica at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from ledger.event_log.port import LogUnavailable
from projector.read_model.port import ReadModelUnavailableError
from projector.reading import TROUBLE, LogRecord
from projector.rebuild.rendering import UNRENDERABLE

T = TypeVar("T")

TRIES: Final = 4
"""Of a partition, while a broker or a Redis is too busy to answer in time."""
_AGAIN_S: Final = 1.0


class History(Protocol):
    """The log, as a rehearsal reads it."""

    def messages(
        self, partition: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Records [start, stop) of a partition of license-events, in runs."""
        ...


class Replica(Protocol):
    """A replica, as a rehearsal reads it (`projector.rebuild.store.Store`)."""

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of keys, all of one moment."""
        ...

    def scanned(self, match: str) -> AsyncGenerator[list[bytes], None]:
        """All names that match, in pieces; one may come twice."""
        ...


async def tried(work: Callable[[bool], Awaitable[T]]) -> T:
    """Do the work on a partition; its argument: whether the fold is to be careful.

    It is once a document can't be rendered: then its license is frozen where that began, as in the
    live fold. What is too busy is asked again.
    """
    careful = False
    for left in reversed(range(TRIES)):
        try:
            return await work(careful)
        except (LogUnavailable, ReadModelUnavailableError):
            if not left:
                raise
            await asyncio.sleep(_AGAIN_S)
        except (*TROUBLE, ConnectionError):
            raise
        except UNRENDERABLE:
            if careful:
                raise
            careful = True
    raise AssertionError  # pragma: no cover - the last try returns or raises
