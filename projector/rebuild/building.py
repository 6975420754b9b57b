"""One partition from the log into a generation: folded in memory, rendered, written.

Doing it again writes the same, since the end is fixed: so what a killed process had begun needs no
undoing. The head comes last, and with it the partition is there.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Protocol, Self

from msgspec import Struct

from projector.pieces import pieces
from projector.read_model.keys import Keys
from projector.reading import TROUBLE, LogRecord
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import UNRENDERABLE, Rendering
from projector.rebuild.store import Store
from projector.views.digests import Weigher, digests_document
from projector.views.documents import head_document

PIECE_KEYS: Final = 1_000
"""Documents written in one go: what serves waits for no more than that."""
PIECE_SETS: Final = 250
_TOLD_EVERY: Final = 5_000
_STATM: Final = Path("/proc/self/statm")


class PartitionTooLargeError(Exception):
    """What a partition holds doesn't fit the memory that a builder may take."""


class Told(Struct, frozen=True, kw_only=True):
    """How far a partition is: records folded, keys written. `done`: it is there."""

    partition: int
    folded: int
    written: int = 0
    done: bool = False


class RecordSource(Protocol):
    """The log, as a builder reads it."""

    def messages(self, partition: int, *, stop: int) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Records of a partition of license-events from the first one to `stop`."""
        ...


class Builder:
    """Builds partitions of one generation.

    `tell`: is told how far it is. `may_go_on`: is awaited before each piece, and holds it up while
    what serves needs the machine. `memory_bytes_max`: of this process.
    """

    def __init__(
        self,
        source: RecordSource,
        store: Store,
        weigher: Weigher,
        *,
        partitions: int,
        memory_bytes_max: int,
        tell: Callable[[Told], None],
        may_go_on: Callable[[], Awaitable[None]],
    ) -> None:
        self._source = source
        self._store = store
        self._weigher = weigher
        self._partitions = partitions
        self._memory_bytes_max = memory_bytes_max
        self._tell = tell
        self._may_go_on = may_go_on

    async def build(
        self,
        partition: int,
        generation: str,
        end: int,
        discarded: frozenset[int] = frozenset(),
    ) -> None:
        """Build one partition up to the offset `end`, without what is discarded.

        Raises `PartitionTooLargeError` with nothing written; `LostRecordError`,
        `UnknownRulesError`, and what reading and writing raise.
        """
        folding = await self._folded(partition, end, discarded, careful=False)
        try:
            await self._write(folding, Keys(partition, generation))
        except (*TROUBLE, ConnectionError):
            raise
        except UNRENDERABLE:
            # A document can't be rendered: its license is frozen where that began.
            folding = await self._folded(partition, end, discarded, careful=True)
            await self._write(folding, Keys(partition, generation))

    async def _folded(
        self, partition: int, end: int, discarded: frozenset[int], *, careful: bool
    ) -> BulkFold:
        told = 0
        folding = BulkFold(partition, self._partitions, careful=careful, discarded=discarded)
        async with aclosing(self._source.messages(partition, stop=end)) as runs:
            async for records in runs:
                folding.take(records)
                self._see_to_memory(partition)
                if folding.position - told >= _TOLD_EVERY:
                    told = folding.position
                    self._tell(Told(partition=partition, folded=told))
                await self._may_go_on()
        self._tell(Told(partition=partition, folded=folding.position))
        return folding

    def _see_to_memory(self, partition: int) -> None:
        if memory_bytes() > self._memory_bytes_max:
            raise PartitionTooLargeError(
                f"partition {partition} takes more than {self._memory_bytes_max >> 20} MB"
            )

    async def _write(self, folding: BulkFold, keys: Keys) -> None:
        rendering, written = Rendering(folding.held, keys, self._weigher), 0

        def tell(count: int) -> None:
            nonlocal written
            written += count
            place = keys.partition
            self._tell(Told(partition=place, folded=folding.position, written=written))

        # While the replica takes a piece the next one is rendered; no more than one is on its way.
        async with OneAhead() as ahead:
            for piece in pieces(rendering.strings(), PIECE_KEYS):
                await self._may_go_on()
                await ahead.do(self._store.write(piece))
                tell(len(piece))
            for members in pieces(rendering.sorted_sets(), PIECE_SETS):
                await self._may_go_on()
                await ahead.do(self._store.write((), members))
                tell(len(members))
        head = folding.head
        digests = digests_document(rendering.digests(head.position))
        await self._store.write([(keys.digests, digests), (keys.head, head_document(head))])
        self._tell(Told(partition=keys.partition, folded=head.position, written=written, done=True))


def memory_bytes() -> int:
    """Memory that this process takes now; where that can't be told, the most it ever took."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


class OneAhead:
    """Lets one thing go on while the next one is prepared; at the end none does any more."""

    def __init__(self) -> None:
        self._going: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        going, self._going = self._going, None
        if going is None:
            return
        if kind is not None:
            going.cancel()
            await asyncio.wait([going])
        else:
            await going

    async def do(self, what: Coroutine[Any, Any, None]) -> None:
        """Wait for the one before, then begin with this; raises what that one has raised."""
        going, self._going = self._going, None
        try:
            if going is not None:
                await going
        except BaseException:
            what.close()
            raise
        self._going = asyncio.create_task(what)
        # It is on its way before anything else is prepared: one turn packs it, one sends it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class Gate:
    """Holds builders up while it is closed."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        """Hold up whoever comes."""
        self._open.clear()

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()

    async def passed(self) -> None:
        """Wait until it is open; others run meanwhile in any case."""
        await asyncio.sleep(0)
        await self._open.wait()
