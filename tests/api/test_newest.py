"""Lists over partitions: the merge is what sorting all would give, and deep pages are cheap."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from api.newest import CHUNK_MIN, Place, newest
from tests.servers import RedisServer

INDEXES = [f"index-{number}" for number in range(4)]


class Store:
    """Sorted sets in a real Redis, and a count of what was asked and read."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.pipelines = 0
        self.entries = 0

    async def fill(self, indexes: Sequence[str], places: Sequence[Place], seed: int) -> None:
        chosen = random.Random(seed)
        pipeline = self._redis.pipeline(transaction=False)
        for place in places:
            pipeline.zadd(chosen.choice(indexes), {place.id: place.time_ms})
        await pipeline.execute()

    async def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        self.pipelines += 1
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies = await pipeline.execute()
        self.entries += sum(len(reply) // 2 for reply in replies if isinstance(reply, list))
        return list(replies)


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    redis = Redis(port=redis_server.port, protocol=2)
    yield Store(redis)
    await redis.aclose()


def some_places(count: int, seed: int, *, times: int) -> list[Place]:
    """Places, many of them at the same time."""
    chosen = random.Random(seed)
    return [Place(chosen.randrange(times), f"{number:06d}") for number in range(count)]


async def taken(
    store: Store, count: int, *, start: int = 0, below: Place | None = None
) -> list[Place]:
    found: list[Place] = []
    async for place in newest(store.ask, INDEXES, start=start, below=below, size=count):
        found.append(place)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("times", [1, 7, 1000], ids=["one time", "few times", "many times"])
async def test_it_is_all_of_them_newest_first(store: Store, times: int) -> None:
    places = some_places(500, times, times=times)
    await store.fill(INDEXES, places, times)
    expected = sorted(places, reverse=True)
    assert await taken(store, 1000) == expected
    for start in (0, 1, 7, 250, 499, 500, 2000):
        assert await taken(store, 13, start=start) == expected[start : start + 13]
    for at in (0, 1, 250, 499):
        found = await taken(store, 13, below=expected[at])
        assert found == expected[at + 1 : at + 14]


async def test_an_entry_that_went_is_still_a_place_to_go_on_from(store: Store) -> None:
    places = some_places(50, 1, times=5)
    gone = sorted(places, reverse=True)[20]
    await store.fill(INDEXES, [place for place in places if place != gone], 1)
    assert await taken(store, 5, below=gone) == sorted(places, reverse=True)[21:26]


async def test_partitions_may_be_empty_and_uneven(store: Store) -> None:
    places = some_places(300, 2, times=100)
    await store.fill(INDEXES[:1], places[:290], 2)
    await store.fill(INDEXES[1:2], places[290:], 2)
    expected = sorted(places, reverse=True)
    for start in (0, 80, 200, 295):
        assert await taken(store, 10, start=start) == expected[start : start + 10]


async def test_nothing_is_a_list_too(store: Store) -> None:
    assert await taken(store, 10) == []
    assert [place async for place in newest(store.ask, [], size=10)] == []


async def test_a_deep_page_reads_hardly_more_than_the_first(store: Store) -> None:
    await store.fill(INDEXES, some_places(20_000, 3, times=10**9), 3)
    await taken(store, 100)
    first, store.entries, store.pipelines = store.entries, 0, 0
    await taken(store, 100, start=9_900)
    assert store.pipelines <= 8
    assert store.entries < 10 * first + len(INDEXES) * CHUNK_MIN
