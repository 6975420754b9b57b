"""The stream of events: merged by time, in bounded pieces, and through a broker's absence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.patience import BrokerAwayError, patiently
from cli.tailing.following import BATCH_RECORDS, follow
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Record, Topic, Topics
from ledger.event_log.topics import create_topics
from tests.servers import KafkaServer

PARTITIONS = 4
LIMIT_S = 90.0
"""No promise: a limit for what may never hang."""


async def filled(places: Sequence[tuple[int, int]]) -> MemoryLog:
    """A log with a record in each of (partition, milliseconds after the one before)."""
    now = 1_000

    def clock() -> int:
        return now

    log = MemoryLog(PARTITIONS, clock=clock)
    for number, (partition, later) in enumerate(places):
        now += later
        await log.append(Topic.LICENSE_EVENTS, partition, key=b"k", value=b"%d" % number)
    return log


def nobody(_: str) -> None:
    pytest.fail("nothing was to be said")


@settings(max_examples=50, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.integers(0, 2)), max_size=500),
    data=st.data(),
)
async def test_what_stands_in_the_log_comes_once_and_in_the_order_of_time(
    places: list[tuple[int, int]], data: st.DataObject
) -> None:
    log = await filled(places)
    ends = await log.ends(Topic.LICENSE_EVENTS)
    starts = {partition: data.draw(st.integers(0, end)) for partition, end in ends.items()}
    batches = [batch async for batch in follow(log, starts, forever=False, say=nobody)]
    assert batches[-1] == ()
    assert all(len(batch) <= BATCH_RECORDS for batch in batches)
    found = [record for batch in batches for record in batch]
    assert [one.timestamp_ms for one in found] == sorted(one.timestamp_ms for one in found)
    for partition, start in starts.items():
        offsets = [one.offset for one in found if one.partition == partition]
        assert offsets == list(range(start, ends[partition]))


async def taken(stream: AsyncGenerator[Sequence[Record], None], count: int) -> list[Record]:
    found: list[Record] = []
    while len(found) < count:
        found += await anext(stream)
    return found


async def test_followed_on_it_waits_for_the_broker_says_so_and_leaves_nothing_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.tailing.following._AWAY_S", 0.01)
    monkeypatch.setattr("cli.tailing.following._LOOK_EVERY_S", 0.01)
    log, said = await filled([(0, 1), (1, 1)]), list[str]()
    async with aclosing(
        follow(log, dict.fromkeys(range(PARTITIONS), 0), forever=True, say=said.append)
    ) as stream:
        assert len(await taken(stream, 2)) == 2
        await log.append(Topic.LICENSE_EVENTS, 3, key=b"k", value=b"3")
        assert [one.value for one in await taken(stream, 1)] == [b"3"]
        log.unreachable = True
        waiting = asyncio.create_task(taken(stream, 1))
        while not said:
            await asyncio.sleep(0.01)
        log.unreachable = False
        await log.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"4")
        assert [one.value for one in await waiting] == [b"4"]
    assert len(said) == 2
    assert "waiting for the broker" in said[0]
    assert "again" in said[1]


async def test_a_broker_that_is_killed_and_comes_back_costs_no_record(
    own_kafka_server: KafkaServer,
) -> None:
    topics, said = Topics(prefix="t-"), list[str]()
    await create_topics(own_kafka_server.bootstrap, partitions=2, topics=topics)
    log = KafkaLog(own_kafka_server.bootstrap, topics)
    try:
        stream = follow(log, {0: 0, 1: 0}, forever=True, say=said.append)
        async with aclosing(stream), asyncio.timeout(LIMIT_S):
            await append(log, 0, b"before")
            assert [one.value for one in await taken(stream, 1)] == [b"before"]
            await asyncio.to_thread(own_kafka_server.kill)
            waiting = asyncio.create_task(taken_until(stream, b"last"))
            while not said:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(own_kafka_server.start)
            await append(log, 1, b"after")
            await append(log, 0, b"last")
            # An append of unknown outcome is sent again, so it may be there twice.
            values = dict.fromkeys(one.value for one in await waiting)
            assert list(values) == [b"after", b"last"]
    finally:
        await log.close()
    assert ["waiting" in said[0], "again" in said[-1], len(said) % 2] == [True, True, 0]


async def taken_until(stream: AsyncGenerator[Sequence[Record], None], value: bytes) -> list[Record]:
    found: list[Record] = []
    while not any(one.value == value for one in found):
        found += await anext(stream)
    return found


async def append(log: KafkaLog, partition: int, value: bytes) -> None:
    await patiently(lambda: log.append(Topic.LICENSE_EVENTS, partition, key=b"k", value=value))


async def test_without_following_an_absent_broker_is_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cli.tailing.following.ASKED_S", 0.1)
    log = await filled([])
    log.unreachable = True
    with pytest.raises(BrokerAwayError, match="unreachable"):
        await anext(follow(log, {0: 0}, forever=False, say=nobody))
