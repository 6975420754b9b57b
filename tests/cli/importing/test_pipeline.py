"""The pipeline loses no line to order, whatever becomes of single appends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.importing import pipeline as pipelines
from cli.importing.pipeline import Pipeline, ToAppend
from cli.patience import BrokerAwayError
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Appended, AppendRefused, AppendUnknown, Headers, Topic

PARTITIONS = 2
FATES = ("stored", "stored unheard", "lost", "refused")


class BreakingLog(MemoryLog):
    """A log as the Kafka one behaves: a producer stores in order or, from a failure on, nothing."""

    def __init__(self, fates: Iterator[str]) -> None:
        super().__init__(PARTITIONS)
        self._fates = fates
        self._producer = [True]

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        producer = self._producer
        fate = next(self._fates, "stored") if producer[0] else "lost"
        at = None
        if fate.startswith("stored"):
            at = await super().append(topic, partition, key=key, value=value, headers=headers)
        else:
            producer[0] = False
        await asyncio.sleep(0)
        if fate == "stored":
            assert at is not None
            return at
        producer[0] = False
        if self._producer is producer:
            self._producer = [True]
        if fate == "refused":
            raise AppendRefused("nothing was sent")
        raise AppendUnknown("it may be stored")


async def comfortable() -> None:
    """There is always room."""


async def applied(log: MemoryLog, partition: int) -> list[int]:
    """Sequences that a ledger applies: each that is higher than the one before."""
    found = [-1]
    async for batch in log.read(Topic.LICENSE_EVENTS, partition, start=0):
        for record in batch:
            number = int(record.value or b"")
            if number > found[-1]:
                found.append(number)
    return found[1:]


@settings(deadline=None)
@given(st.lists(st.sampled_from(FATES), max_size=300), st.integers(1, 200))
def test_every_line_is_applied_in_order(fates: list[str], lines: int) -> None:
    async def run() -> list[list[int]]:
        log = BreakingLog(iter(fates))
        async with Pipeline(log, comfort=comfortable) as pipeline:
            for number in range(lines):
                await pipeline.put(
                    number % PARTITIONS, ToAppend(key=b"license", value=b"%d" % number)
                )
        ends = await log.ends(Topic.LICENSE_EVENTS)
        assert pipeline.acknowledged == {at: end for at, end in ends.items() if end}
        return [await applied(log, partition) for partition in range(PARTITIONS)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "PAUSE_S", 0)
        patch.setattr(pipelines, "PAUSE_MAX_S", 0)
        found = asyncio.run(run())
    assert found == [list(range(at, lines, PARTITIONS)) for at in range(PARTITIONS)]


async def test_it_gives_up_when_nothing_is_acknowledged_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipelines, "PATIENCE_S", 0.1)
    log = MemoryLog(PARTITIONS)
    log.unreachable = True
    with pytest.raises(ExceptionGroup) as raised:
        async with Pipeline(log, comfort=comfortable) as pipeline:
            await pipeline.put(0, ToAppend(key=b"license", value=b"0"))
    assert raised.group_contains(BrokerAwayError)


async def test_runs_wait_for_live_traffic() -> None:
    log = MemoryLog(PARTITIONS)
    room = asyncio.Event()
    async with Pipeline(log, comfort=lambda: wait(room)) as pipeline:
        await pipeline.put(0, ToAppend(key=b"license", value=b"0"))
        await asyncio.sleep(0.05)
        assert await log.ends(Topic.LICENSE_EVENTS) == {0: 0, 1: 0}
        room.set()
    assert await log.ends(Topic.LICENSE_EVENTS) == {0: 1, 1: 0}


async def wait(room: asyncio.Event) -> None:
    """Wait for room."""
    await room.wait()
