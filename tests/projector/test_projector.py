"""All parts of a projector in this process: its stages, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import ForeignLog
from projector import __main__ as program
from projector import live
from projector.live import NotReadyError, Projector
from projector.metrics import Metrics
from projector.origin import Origin
from projector.read_model.memory import MemoryReadModel
from projector.read_model.redis import RedisReadModel
from projector.settings import ProjectorSettings, read_projector_settings
from projector.slot import SlotTakenError
from tests.activity import Activity
from tests.projector.replica import PARTITIONS, Replica

Parts = tuple[ProjectorSettings, RedisReadModel, KafkaLog]


@pytest.fixture
async def parts(replica: Replica) -> AsyncIterator[Parts]:
    settings = read_projector_settings(replica.projector().env)
    model, log = RedisReadModel(settings.url), KafkaLog(replica.kafka.bootstrap, replica.topics)
    yield settings, model, log
    await log.close()
    await model.close()


async def test_its_stages(replica: Replica, parts: Parts) -> None:
    settings, model, log = parts
    await replica.append(list(Activity(61, partitions=PARTITIONS).appendables(900)))
    projector = Projector(settings, model, log, Metrics())
    assert projector.missing() == "starting"
    task = asyncio.create_task(projector.run())
    stages = set()
    async with asyncio.timeout(60):
        while (missing := projector.missing()) is not None:
            stages.add(missing)
            await asyncio.sleep(0)
    assert {"waiting for Kafka and Redis", "no partitions assigned yet"} <= stages
    await replica.assert_equals_an_independent_fold()
    # A second one in the same slot is refused, and the first goes on.
    with pytest.raises(SlotTakenError):
        await Projector(settings, model, log, Metrics()).run()
    assert projector.missing() is None
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    assert projector.missing() == "stopping"
    # The slot's lock was given back.
    assert await model.hold(f"{settings.member}:holder", "a successor", 1000)


async def test_what_is_not_there_in_time_is_named(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _, log = parts
    monkeypatch.setattr(live, "START_LIMIT_S", 0.5)
    away = RedisReadModel("redis://127.0.0.1:1/0", connect_timeout_s=0.1)
    with pytest.raises(NotReadyError, match="Redis: it does not answer"):
        await Projector(settings, away, log, Metrics()).run()
    await away.close()


async def test_a_foreign_replica_is_refused(replica: Replica, parts: Parts) -> None:
    settings, _, log = parts
    model = MemoryReadModel()
    await Origin(log, model, settings.shared).compare_all()
    name = next(name for name in model.strings if name.endswith(":genesis"))
    ledger = model.strings[name].split(b'"ledger":"')[1][:36]
    model.strings[name] = model.strings[name].replace(ledger, b"0" * 8 + ledger[8:])
    with pytest.raises(ForeignLog, match="LEDGER_REPLICAS"):
        await Projector(settings, model, log, Metrics()).run()


def test_wrong_settings_end_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "set_up", lambda: None)
    monkeypatch.setenv("LEDGER_KAFKA", "")
    assert program.main() == 2
