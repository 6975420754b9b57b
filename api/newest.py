"""Members of an index, newest first, merged over all partitions of one replica.

Each partition has its own sorted set, whose score is a time. A deep page is found by ranks: of
`start` entries about `start / partitions` are in each, and counting what is newer than the latest
entry at that rank leaves only a few to be merged. So the hundredth page costs as the first one.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from projector.read_model.keys import Keys

CHUNK_MIN: Final = 16
Ask = Callable[[Sequence[tuple[Any, ...]]], Any]
"""Sends commands to one replica in one pipeline, and awaits their replies."""
Index = Callable[[Keys], Sequence[str]]
"""Names of a partition's sorted sets that are listed together; no member is in two of them."""


class Place(Struct, frozen=True, order=True):
    """Where an entry stands in a list: by time, then by id, both falling."""

    time_ms: int
    id: str


class _Run:
    """One sorted set, read on in chunks from below a place."""

    __slots__ = ("_below", "_key", "_offset", "_score", "done", "waiting")

    def __init__(self, key: str, score: int | None, below: Place | None) -> None:
        self._key = key
        self._score = "+inf" if score is None else str(score)
        self._below = below
        self._offset = 0
        self.waiting: list[Place] = []
        self.done = False

    def command(self, count: int) -> tuple[Any, ...]:
        """Ask for the next `count` entries."""
        start, self._offset = self._offset, self._offset + count
        below = ("ZREVRANGEBYSCORE", self._key, self._score, "-inf", "WITHSCORES")
        return (*below, "LIMIT", start, count)

    def take(self, reply: Sequence[bytes], count: int) -> None:
        """Enter what came, the last one first to be popped."""
        found = [
            Place(int(float(score)), member.decode())
            for member, score in zip(reply[::2], reply[1::2], strict=True)
        ]
        self.done = len(found) < count
        below = self._below
        self.waiting = [place for place in reversed(found) if below is None or place < below]


async def newest(
    ask: Ask, indexes: Sequence[str], *, start: int = 0, below: Place | None = None, size: int
) -> AsyncGenerator[Place, None]:
    """Yield entries of the sorted sets `indexes`, newest first.

    Those after `start` others, or those below a place. `size`: how many are likely wanted.
    """
    score = None if below is None else below.time_ms
    if start:
        score, start = await _near(ask, indexes, start)
    runs = [_Run(key, score, below) for key in indexes]
    count = max(CHUNK_MIN, 2 * (start + size) // max(1, len(runs)))
    await _read_on(ask, runs, count)
    heap = [(_Falling(run.waiting[-1]), number) for number, run in enumerate(runs) if run.waiting]
    heapq.heapify(heap)
    while heap:
        number = heap[0][1]
        run = runs[number]
        place = run.waiting.pop()
        if not run.waiting:
            await _read_on(ask, [run], count)
        if run.waiting:
            heapq.heapreplace(heap, (_Falling(run.waiting[-1]), number))
        else:
            heapq.heappop(heap)
        if start:
            start -= 1
        else:
            yield place


async def _read_on(ask: Ask, runs: Sequence[_Run], count: int) -> None:
    """Read each run on until it has something waiting, or has ended."""
    while wanted := [run for run in runs if not run.waiting and not run.done]:
        replies = await ask([run.command(count) for run in wanted])
        for run, reply in zip(wanted, replies, strict=True):
            run.take(reply, count)


async def _near(ask: Ask, indexes: Sequence[str], start: int) -> tuple[int | None, int]:
    """Give a score to read on from, and how many entries are to be left out from there."""
    rank = start // max(1, len(indexes))
    if not rank:
        return None, start
    replies = await ask([("ZREVRANGE", key, rank, rank, "WITHSCORES") for key in indexes])
    scores = [int(float(reply[1])) for reply in replies if reply]
    if not scores:
        return None, start
    # In none of them more than `rank` entries are newer than the newest one at that rank.
    newer = await ask([("ZCOUNT", key, f"({max(scores)}", "+inf") for key in indexes])
    return max(scores), start - sum(newer)


class _Falling:
    """A place that comes first when it is the highest."""

    __slots__ = ("_place",)

    def __init__(self, place: Place) -> None:
        self._place = place

    def __lt__(self, other: _Falling) -> bool:
        return other._place < self._place
