"""Genesis compared: with the settings, between partitions, and with what the replica was of."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from ledger.event_log import genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import (
    ForeignLog,
    LogError,
    LostRecords,
    MissingTopic,
    NotInitialized,
    Topic,
)
from ledger.settings import Settings
from projector import origin
from projector.origin import Origin
from projector.read_model import keys
from projector.read_model.memory import MemoryReadModel
from projector.session import Stopped
from projector.settings import read_projector_settings
from tests.projector.test_parts import ENVIRONMENT

PARTITIONS = 2


@pytest.fixture
def settings() -> Settings:
    return read_projector_settings({**ENVIRONMENT, "LEDGER_PARTITIONS": "2"}).shared


@pytest.fixture
async def log(settings: Settings) -> MemoryLog:
    made = MemoryLog(PARTITIONS)
    await genesis.initialize(made, pepper_check=settings.pepper.check_value, partitions=PARTITIONS)
    return made


@pytest.fixture(autouse=True)
def always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "FRESH_S", 0.0)


async def test_a_log_of_ours_is_kept_in_the_replica(log: MemoryLog, settings: Settings) -> None:
    model = MemoryReadModel()
    compared = Origin(log, model, settings)
    await compared.compare_all()
    await compared.compare(1)
    for partition in range(PARTITIONS):
        kept = genesis.decode(model.strings[keys.genesis(partition)])
        assert (kept.partition, kept.partitions) == (partition, PARTITIONS)


async def test_a_replica_that_came_back_empty_is_told_the_beginning_again(
    log: MemoryLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(origin, "FRESH_S", 60.0)
    model = MemoryReadModel()
    compared = Origin(log, model, settings)
    await compared.compare_all()
    model.strings.clear()
    await compared.compare(1)
    assert genesis.decode(model.strings[keys.genesis(1)]).partition == 1


async def test_a_log_without_a_beginning_is_waited_for(settings: Settings) -> None:
    with pytest.raises(NotInitialized):
        await Origin(MemoryLog(PARTITIONS), MemoryReadModel(), settings).compare_all()


async def test_a_partition_of_another_ledger_is_stopped(log: MemoryLog, settings: Settings) -> None:
    model = MemoryReadModel()
    compared = Origin(log, model, settings)
    with pytest.raises(Stopped) as stopped:
        await compared.compare(0)
    assert stopped.value.reason == "foreign-log"
    await compared.compare_all()
    other = MemoryLog(PARTITIONS)
    await genesis.initialize(other, pepper_check=settings.pepper.check_value, partitions=PARTITIONS)
    compared = Origin(other, model, settings)
    with pytest.raises(ForeignLog, match="filled from another ledger"):
        await compared.compare_all()


@pytest.mark.parametrize("lost", [LostRecords, MissingTopic, NotInitialized])
async def test_a_partition_that_lost_its_beginning_is_stopped(
    log: MemoryLog,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    lost: type[LogError],
) -> None:
    compared = Origin(log, MemoryReadModel(), settings)
    await compared.compare_all()

    async def beheaded(*_: object) -> genesis.Genesis:
        raise lost("the first record is gone")

    monkeypatch.setattr(genesis, "read_genesis", beheaded)
    with pytest.raises(Stopped) as stopped:
        await compared.compare(0)
    assert stopped.value.reason == "log-replaced"


async def test_a_genesis_that_changed_is_another_ledgers(
    log: MemoryLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = Origin(log, MemoryReadModel(), settings)
    await compared.compare_all()
    ours = await genesis.read_genesis(log, Topic.LICENSE_EVENTS, 1)

    async def changed(*_: object) -> genesis.Genesis:
        return replace(ours, ledger="00000000-0000-4000-8000-000000000000")

    monkeypatch.setattr(genesis, "read_genesis", changed)
    with pytest.raises(Stopped) as stopped:
        await compared.compare(1)
    assert stopped.value.reason == "foreign-log"
    monkeypatch.setattr(origin, "FRESH_S", 60.0)
    await compared.compare(1)


async def test_the_catalogs_genesis_is_compared_too(
    log: MemoryLog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MemoryReadModel()
    compared = Origin(log, model, settings)
    await compared.compare_all()
    await compared.compare(keys.CATALOG)
    ours = await genesis.read_genesis(log, Topic.CATALOG_EVENTS, 0)
    asked = []

    async def changed(_: object, topic: Topic, partition: int) -> genesis.Genesis:
        asked.append((topic, partition))
        return replace(ours, ledger="00000000-0000-4000-8000-000000000000")

    monkeypatch.setattr(genesis, "read_genesis", changed)
    with pytest.raises(Stopped) as stopped:
        await compared.compare(keys.CATALOG)
    assert stopped.value.reason == "foreign-log"
    assert asked == [(Topic.CATALOG_EVENTS, 0)]
