"""A reading's age where the replica's clock jumps, and its generation where another one serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from api.replica import Replica
from projector.views.documents import Head, head_document

DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


class Store:
    """A replica's link: its clock, and the one head of all its partitions."""

    def __init__(self) -> None:
        self.time_ms = NOW_MS
        self.head = Head(position=9, level_at_ms=NOW_MS - 300)

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        return [b"1" if name.endswith("serving") else head_document(self.head) for name in names]

    async def survey(self, names: Sequence[str]) -> tuple[int, float, list[bytes | None]]:
        return self.time_ms, time.monotonic(), await self.read(names)

    async def close(self) -> None: ...


class Switching(Store):
    """A store whose second generation has served for a while; its first one is gone."""

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        head = head_document(self.head)
        return [
            b"2" if name.endswith("serving") else head if ":2:" in name else None for name in names
        ]


async def test_of_those_who_read_at_once_each_reads_the_generation_that_serves() -> None:
    store = Switching()
    replica = Replica("A", store, 1, source="REPLICA_A")
    await replica.survey()
    await replica.survey()
    arrived, answer = asyncio.Event(), store.read

    async def slowly(names: Sequence[str]) -> list[bytes | None]:
        found = await answer(names)
        if not arrived.is_set():
            # Meanwhile another one's reading has told of the generation that serves.
            arrived.set()
            replica.standing.generation[0] = "2"
        return found

    store.read = slowly  # type: ignore[method-assign]
    replica.standing.generation[0] = "1"
    reading = await replica.read(0, lambda keys: (keys.head,), ())
    assert reading is not None
    assert reading.values == [head_document(store.head)]


async def age_ms(replica: Replica) -> int:
    reading = await replica.read(0, lambda _: (), ())
    assert reading is not None
    return reading.age_ms


async def test_a_jump_of_its_clock_makes_no_answer_400_days_old() -> None:
    store = Store()
    replica = Replica("A", store, 1, source="REPLICA_A")
    await replica.survey()
    assert 300 <= await age_ms(replica) < 60_000
    # Level again by a clock that this worker hasn't looked at yet.
    store.head = Head(position=10, level_at_ms=NOW_MS + 400 * DAY_MS)
    assert 300 <= await age_ms(replica) < 60_000


async def test_nor_where_it_is_looked_at_while_a_reading_is_on_its_way() -> None:
    store = Store()
    replica = Replica("A", store, 1, source="REPLICA_A")
    await replica.survey()
    answer = store.read

    async def while_looked_at(names: Sequence[str]) -> list[bytes | None]:
        store.read = answer  # type: ignore[method-assign]
        store.time_ms = NOW_MS - 400 * DAY_MS
        await replica.survey()
        return await answer(names)

    store.read = while_looked_at  # type: ignore[method-assign]
    assert 300 <= await age_ms(replica) < 60_000


async def test_one_that_went_back_is_as_old_as_it_says() -> None:
    store = Store()
    replica = Replica("A", store, 1, source="REPLICA_A")
    await replica.survey()
    store.head = Head(position=8, level_at_ms=NOW_MS - 5 * DAY_MS)
    assert await age_ms(replica) >= 5 * DAY_MS


async def test_one_that_was_never_looked_at_says_nothing_and_is_as_old_as_it_says_after() -> None:
    store = Store()
    store.head = Head(position=9, level_at_ms=NOW_MS - 5 * DAY_MS)
    replica = Replica("A", store, 1, source="REPLICA_A")
    assert await replica.read(0, lambda _: (), ()) is None
    answer = store.read

    async def while_looked_at(names: Sequence[str]) -> list[bytes | None]:
        store.read = answer  # type: ignore[method-assign]
        replica.standing.note_time(store.time_ms, time.monotonic())
        return await answer(names)

    store.read = while_looked_at  # type: ignore[method-assign]
    assert await age_ms(replica) >= 5 * DAY_MS
