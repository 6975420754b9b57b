"""Reading the log for its chain: patiently, and each record once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest

from cli import patience
from cli.patience import BrokerAwayError
from cli.verifying.reading import read_log
from ledger.event_log.genesis import initialize
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import LogUnavailable, Record, Topic
from tests.ledger.domain.given import PEPPER

EVENTS = Topic.LICENSE_EVENTS
PARTITIONS = 2


class Stuttering(MemoryLog):
    """A log whose readings break after each batch; `mute`: before the first one."""

    mute = False
    handed_out = 0

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        async with aclosing(super().read(topic, partition, start=start, stop=stop)) as batches:
            async for batch in batches:
                if self.mute:
                    break
                self.handed_out += len(batch)
                yield batch
                break
        raise LogUnavailable("nothing arrives")


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> Stuttering:
    """1,200 records in one partition: three batches of it."""
    monkeypatch.setattr(patience, "PAUSE_S", 0.001)
    found = Stuttering(PARTITIONS)
    whole = MemoryLog(PARTITIONS)
    await initialize(whole, pepper_check=PEPPER.check_value, partitions=PARTITIONS)
    for topic in Topic:
        for partition in await whole.ends(topic):
            async for batch in whole.read(topic, partition, start=0):
                for one in batch:
                    assert one.key is not None
                    await found.append(topic, partition, key=one.key, value=one.value)
    for at in range(1_200):
        await found.append(EVENTS, 1, key=b"k", value=b"%d" % at)
    return found


async def test_a_broker_that_stutters_is_read_to_the_end_and_nothing_twice(
    log: Stuttering,
) -> None:
    read = await read_log(log, stops={}, to_end=True)
    assert read.records == log.handed_out == 1_200 + PARTITIONS + 2
    walk = read.walks[EVENTS, 1]
    assert walk.found.keys() == {0, 1_201}


async def test_a_broker_that_stays_away_is_given_up(
    log: Stuttering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 0.05)
    log.mute = True
    with pytest.raises(BaseExceptionGroup) as raised:
        await read_log(log, stops={}, to_end=True)
    assert raised.group_contains(BrokerAwayError)


async def test_only_the_genesis_is_read_where_nothing_else_is_asked_for(log: Stuttering) -> None:
    read = await read_log(log, stops={(EVENTS, 1): [700, 5_000]}, to_end=False)
    assert read.ends[EVENTS][1] == 1_201
    assert read.walks[EVENTS, 1].found.keys() == {0, 700}
    assert read.records == log.handed_out == 700 + 1 + 2
