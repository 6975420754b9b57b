"""Waiting for positions: every replica in service, the slower one not for long."""

from __future__ import annotations

import asyncio

import pytest

from api.passing import Passing
from api.standing import Standing
from projector.views.documents import Head

PARTITIONS = 2
LONG_S = 20.0
SOON_S = 0.05


class Pair:
    """Two replicas in service at position 5, and who waits for them."""

    def __init__(self) -> None:
        self.a, self.b = self.standings = [Standing(name, PARTITIONS) for name in "AB"]
        for standing in self.standings:
            standing.note_time(1_000_000, asyncio.get_running_loop().time())
            self.level(standing, 5)
        self.passing = Passing(self.standings, slower_s=SOON_S)

    def level(self, standing: Standing, position: int) -> None:
        head = Head(position=position, level_at_ms=standing.now_ms + 1)
        changed = standing.note_heads([head] * (PARTITIONS + 1), list(standing.position))
        if hasattr(self, "passing"):
            self.passing.changed(changed)

    def apply(self, standing: Standing, position: int, partition: int = 0) -> None:
        if standing.note_applied(partition, position):
            self.passing.changed((partition,))

    def wait(self, offset: int, timeout_s: float = LONG_S) -> asyncio.Task[Standing]:
        return asyncio.create_task(self.passing.passed(0, offset, timeout_s))


@pytest.fixture
async def pair() -> Pair:
    return Pair()


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_it_waits_for_every_replica_in_service(pair: Pair) -> None:
    waiting = pair.wait(5)
    pair.apply(pair.b, 6)
    await turns()
    assert not waiting.done()
    pair.apply(pair.a, 6)
    assert (await waiting).position[0] == 6
    assert pair.passing.waiting == 0


async def test_what_is_passed_already_needs_no_wait(pair: Pair) -> None:
    assert await pair.passing.passed(0, 4, LONG_S) in pair.standings


async def test_another_partition_s_position_is_not_this_one_s(pair: Pair) -> None:
    waiting = pair.wait(5, SOON_S)
    pair.apply(pair.a, 9, partition=1)
    pair.apply(pair.b, 9, partition=1)
    with pytest.raises(TimeoutError):
        await waiting
    assert pair.passing.waiting == 0


async def test_the_slower_one_leaves_service_after_its_time(pair: Pair) -> None:
    waiting = pair.wait(5)
    pair.apply(pair.a, 6)
    assert await waiting is pair.a
    assert pair.a.in_service(0)
    assert not pair.b.in_service(0)
    assert not pair.b.in_service(1)


async def test_without_the_slower_one_nobody_waits_for_it_again(pair: Pair) -> None:
    pair.apply(pair.a, 6)
    await pair.passing.passed(0, 5, LONG_S)
    pair.apply(pair.a, 7)
    async with asyncio.timeout(SOON_S / 2):
        assert await pair.passing.passed(0, 6, LONG_S) is pair.a


async def test_it_is_back_when_it_was_level_since(pair: Pair) -> None:
    pair.apply(pair.a, 6)
    await pair.passing.passed(0, 5, LONG_S)
    pair.level(pair.b, 6)
    assert pair.b.in_service(0)
    waiting = pair.wait(6)
    pair.apply(pair.a, 7)
    await turns()
    assert not waiting.done()
    pair.apply(pair.b, 7)
    await waiting


async def test_the_last_one_in_service_never_leaves_for_slowness(pair: Pair) -> None:
    pair.a.lose()
    waiting = pair.wait(5, 4 * SOON_S)
    with pytest.raises(TimeoutError):
        await waiting
    assert pair.b.in_service(0)


async def test_neither_leaves_while_both_are_slow(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        await pair.passing.passed(0, 5, 4 * SOON_S)
    assert pair.a.in_service(0)
    assert pair.b.in_service(0)


async def test_one_that_is_lost_is_waited_for_no_more(pair: Pair) -> None:
    waiting = pair.wait(5)
    pair.apply(pair.b, 6)
    pair.a.lose()
    pair.passing.changed(range(PARTITIONS))
    assert await waiting is pair.b


async def test_one_that_went_back_has_passed_nothing(pair: Pair) -> None:
    pair.apply(pair.a, 8)
    pair.a.note_heads([Head(position=3, level_at_ms=1)] * (PARTITIONS + 1), list(pair.a.position))
    waiting = pair.wait(6)
    pair.apply(pair.b, 8)
    assert await waiting is pair.b


async def test_many_wait_and_each_goes_on_at_its_own_position(pair: Pair) -> None:
    offsets = [7, 5, 9, 6, 8]
    waiting = {offset: pair.wait(offset) for offset in offsets}
    await turns()
    assert pair.passing.waiting == len(offsets)
    for position in range(6, 11):
        pair.apply(pair.a, position)
        pair.apply(pair.b, position)
        await turns()
        done = {offset for offset, task in waiting.items() if task.done()}
        assert done == set(range(5, position))


async def test_one_who_stops_waiting_is_forgotten(pair: Pair) -> None:
    waiting = pair.wait(5)
    other = pair.wait(5)
    await turns()
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert pair.passing.waiting == 1
    pair.apply(pair.a, 6)
    pair.apply(pair.b, 6)
    await other
