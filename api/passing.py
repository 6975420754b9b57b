"""Waiting until the replicas in service have folded past a position. No I/O.

The slower replica has 250 ms after the first one; then it leaves service until it is level again.
The last one in service never leaves for slowness.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from api.standing import Standing

SLOWER_S: Final = 0.25


@dataclass(slots=True, order=True)
class _Waiter:
    """One who waits for a partition to be past an offset."""

    offset: int
    future: asyncio.Future[Standing] = field(compare=False)


class _Queue:
    """Who waits for one partition, lowest offset first; who can go on is always at the front."""

    def __init__(self) -> None:
        self.waiters: list[_Waiter] = []
        self.patience: asyncio.TimerHandle | None = None

    def let_go(self, end: int, past: Standing) -> None:
        """Answer all who wait for an offset below `end`."""
        count = bisect_left(self.waiters, end, key=_offset)
        for waiter in self.waiters[:count]:
            if not waiter.future.done():
                waiter.future.set_result(past)
        del self.waiters[:count]

    def impatient(self) -> None:
        """Stop the clock of the slower one."""
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None


class Passing:
    """All who wait; `changed` is to be called whenever a replica moved, came or went."""

    def __init__(self, standings: Sequence[Standing], *, slower_s: float = SLOWER_S) -> None:
        self._standings = standings
        self._slower_s = slower_s
        self._queues: dict[int, _Queue] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(queue.waiters) for queue in self._queues.values())

    async def passed(self, partition: int, offset: int, timeout_s: float) -> Standing:
        """Wait until every replica in service, and at least one, is past `offset`; give one.

        Raises `TimeoutError` after `timeout_s`.
        """
        queue = self._queues.setdefault(partition, _Queue())
        waiter = _Waiter(offset, asyncio.get_running_loop().create_future())
        insort(queue.waiters, waiter)
        self._look(partition, queue)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.future
        finally:
            if not waiter.future.done() or waiter.future.cancelled():
                queue.waiters[:] = [each for each in queue.waiters if each is not waiter]
            if not queue.waiters:
                queue.impatient()

    def changed(self, partitions: Iterable[int]) -> None:
        """Look again at all who wait for these partitions."""
        for partition in partitions:
            queue = self._queues.get(partition)
            if queue is not None and queue.waiters:
                self._look(partition, queue)

    def _look(self, partition: int, queue: _Queue) -> None:
        first = self._first(partition)
        if first is None:
            return
        serving = [each.position[partition] for each in self._serving(partition)]
        furthest = first.position[partition]
        queue.let_go(min([furthest, *serving]), first)
        if not queue.waiters or queue.waiters[0].offset >= furthest:
            queue.impatient()
        elif queue.patience is None:
            late = queue.waiters[0].offset
            loop = asyncio.get_running_loop()
            queue.patience = loop.call_later(self._slower_s, self._leave, partition, queue, late)

    def _first(self, partition: int) -> Standing | None:
        """Return the replica that is furthest, whether or not it is in service."""
        reachable = [each for each in self._standings if each.reachable]
        return max(reachable, key=lambda each: each.position[partition], default=None)

    def _serving(self, partition: int) -> list[Standing]:
        return [each for each in self._standings if each.in_service(partition)]

    def _leave(self, partition: int, queue: _Queue, offset: int) -> None:
        """Let those leave that are not past `offset` after all the time that they had."""
        queue.patience = None
        for slow in self._serving(partition):
            if slow.position[partition] <= offset:
                slow.leave([each for each in slow.places if self._others(slow, each)])
        self.changed(list(self._queues))

    def _others(self, slow: Standing, partition: int) -> bool:
        return any(each is not slow for each in self._serving(partition))


def _offset(waiter: _Waiter) -> int:
    return waiter.offset
