"""Entering what became of orders: bounded, in order, whatever the log does meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from api.emergency import entering
from api.emergency.entering import WAITING_MAX, Entering
from ledger.emergency.entries import Entry, decode_entry
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Appended, Headers, MissingTopic, Topic
from tests.ledger.domain.given import LEDGER, POLICY
from tests.ledger.emergency.test_entries import ENTRIES

ENTRY = ENTRIES["incident.order-over"]


class Missing(MemoryLog):
    """A log in memory without the topic, until it is `there`."""

    there = False

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        if topic is Topic.INCIDENT_EVENTS and not self.there:
            raise MissingTopic(topic)
        return await super().append(topic, partition, key=key, value=value, headers=headers)

    async def ends(self, topic: Topic) -> dict[int, int]:
        if topic is Topic.INCIDENT_EVENTS and not self.there:
            raise MissingTopic(topic)
        return await super().ends(topic)


async def begin(log: MemoryLog, ledger: str = LEDGER) -> None:
    first = Genesis(ledger=ledger, partition=0, partitions=1, pepper_check="0" * 32)
    value = genesis.encode(first)
    await log.append(Topic.INCIDENT_EVENTS, 0, key=genesis.RECORD_KEY, value=value)


async def entered(log: MemoryLog) -> list[Entry]:
    batches = log.read(Topic.INCIDENT_EVENTS, 0, start=1)
    return [decode_entry(record.key, record.value) async for batch in batches for record in batch]


def numbered(count: int) -> list[Entry]:
    return [
        Entry(id=f"{at:08x}-0000-4000-8000-000000000000", order=POLICY, time_ms=at, data=ENTRY.data)
        for at in range(count)
    ]


async def test_entries_are_appended_in_their_order() -> None:
    log = MemoryLog(1)
    await begin(log)
    these = Entering(log, LEDGER, lambda: None)
    for entry in numbered(3):
        these.add(entry)
    assert await these.flush()
    assert await entered(log) == numbered(3)
    assert these.waiting == 0


async def test_they_wait_for_the_log_and_are_not_doubled() -> None:
    log, closed = MemoryLog(1), ["the log was not reached yet"]
    await begin(log)
    these = Entering(log, LEDGER, lambda: closed[0] if closed else None)
    these.add(numbered(1)[0])
    assert not await these.flush()
    closed.clear()
    log.unreachable = True
    assert not await these.flush()
    log.unreachable = False
    assert await these.flush()
    assert await these.flush()
    assert await entered(log) == numbered(1)


async def test_without_the_topic_they_wait_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "AGAIN_S", 0.01)
    log = Missing(1)
    these = Entering(log, LEDGER, lambda: None)
    these.add(numbered(1)[0])
    running = asyncio.create_task(these.run())
    await asyncio.sleep(0.1)
    assert these.waiting == 1
    assert [record.getMessage() for record in caplog.records] == [
        "entries about emergency orders wait for the log"
    ]
    assert "ledger init" in str(vars(caplog.records[0])["fields"])
    log.there = True
    await begin(log)
    async with asyncio.timeout(10):
        while these.waiting:
            await asyncio.sleep(0.01)
    running.cancel()
    assert await entered(log) == numbered(1)


async def test_into_another_ledger_s_topic_nothing_is_entered() -> None:
    log = MemoryLog(1)
    await begin(log, ledger=POLICY)
    these = Entering(log, LEDGER, lambda: None)
    these.add(numbered(1)[0])
    assert not await these.flush()
    assert await log.ends(Topic.INCIDENT_EVENTS) == {0: 1}


async def test_above_the_bound_the_oldest_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    log = MemoryLog(1)
    await begin(log)
    these = Entering(log, LEDGER, lambda: None)
    for entry in numbered(WAITING_MAX + 2):
        these.add(entry)
    assert these.waiting == WAITING_MAX
    assert len(caplog.records) == 2
    assert await these.flush()
    assert await entered(log) == numbered(WAITING_MAX + 2)[2:]
