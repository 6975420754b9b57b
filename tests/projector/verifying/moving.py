"""A replica in memory that folds on whenever somebody looks, and its log."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence

from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.reading import LogRecord
from projector.rebuild.store import Snapshot

_PAGE = 7

Fold = Callable[[MemoryReadModel, Sequence[LogRecord]], Awaitable[object]]


class MovingReplica:
    """One place; before each look it folds as many records as `steps` says, until there is none.

    `fold`: folds records of the log into the model from its head on.
    """

    def __init__(
        self, model: MemoryReadModel, log: Sequence[LogRecord], fold: Fold, steps: Iterator[int]
    ) -> None:
        self.model = model
        self._log = log
        self._fold = fold
        self._steps = steps
        self.position = 0

    async def fold_to(self, position: int) -> None:
        position = min(position, len(self._log))
        if position > self.position:
            await self._fold(self.model, self._log[self.position : position])
            self.position = position

    async def serving(self, places: Sequence[int]) -> dict[int, str]:
        found = {place: self.model.strings.get(keys.serving(place)) for place in places}
        return {place: one.decode() for place, one in found.items() if one is not None}

    async def scanned(self, match: str) -> AsyncGenerator[list[bytes], None]:
        prefix = match.removesuffix("*")
        names = [
            name
            for name in (*self.model.strings, *self.model.sorted_sets)
            if name.startswith(prefix)
        ]
        for at in range(0, len(names), _PAGE):
            await self._move()
            # A scan may name a key twice.
            yield [name.encode() for name in (*names[at : at + _PAGE], names[at])]

    async def snapshot(
        self,
        keys: Keys,
        values: Sequence[str],
        scores: Sequence[tuple[str, bytes]],
        scans: Sequence[tuple[str, int]],
    ) -> Snapshot:
        await self._move()
        strings, sets = self.model.strings, self.model.sorted_sets
        serving = strings.get(keys.serving)
        return Snapshot(
            serving=None if serving is None else serving.decode(),
            head=strings.get(keys.head),
            now_ms=time.time_ns() // 1_000_000,
            values=[strings.get(name) for name in values],
            scores=[sets.get(name, {}).get(member) for name, member in scores],
            pages=[self._page(name, cursor) for name, cursor in scans],
        )

    async def _move(self) -> None:
        await self.fold_to(self.position + next(self._steps))

    def _page(self, name: str, cursor: int) -> tuple[int, list[tuple[bytes, int]]] | None:
        if name in self.model.strings:
            return None
        # As a scan: by a mark that stays where it is while others come and go.
        marks = sorted(
            (hash(member) % 2**32, member) for member in self.model.sorted_sets.get(name, {})
        )
        left = [(mark, member) for mark, member in marks if mark >= cursor]
        page, rest = left[:_PAGE], left[_PAGE:]
        members = self.model.sorted_sets.get(name, {})
        return (rest[0][0] if rest else 0), [(member, members[member]) for _, member in page]


class MemorySource:
    """The log; `batch`: records at a time."""

    def __init__(self, log: Sequence[LogRecord], batch: int = 50) -> None:
        self._log = log
        self._batch = batch

    async def records(
        self, place: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        del place
        stop = min(stop, len(self._log))
        for at in range(start, stop, self._batch):
            yield self._log[at : min(at + self._batch, stop)]
