"""Restoring into a real Kafka: every record as it was, and nothing where anything else stands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cli.archiving.restore import Restore, Restored
from cli.initializing import initialize
from ledger.archive.folder import Folder
from ledger.archive.reading import Archive
from ledger.archive.trouble import DamagedBackup, NotRestorable
from ledger.event_log import genesis
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import (
    LogUnavailable,
    MissingTopic,
    NotInitialized,
    Record,
    Topic,
    Topics,
)
from ledger.event_log.restoring import NotMade, Restorer
from ledger.event_log.topics import describe
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import read_record_key
from ledger.settings import Settings
from projector.read_model.memory import MemoryReadModel
from tests.activity import ACCOUNT, Activity
from tests.activity import Record as Folded
from tests.cli.archiving.ledgers import (
    PARTITIONS,
    QUIET,
    CompactedLog,
    all_records,
    append_data_key,
    back_up,
    begin,
    erase,
    live,
    settings,
)
from tests.ledger.sealing.replica import Replica
from tests.projector.in_memory import head_of, project
from tests.servers import KafkaServer

LICENSE = "00000000-0000-8000-8000-000000000000"
LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge no speed: on a busy machine a healthy broker may need more than its second."""
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)


@pytest.fixture
def these(kafka_server: KafkaServer, topics: Topics) -> Settings:
    return settings(LEDGER_KAFKA=kafka_server.bootstrap, LEDGER_TOPIC_PREFIX=topics.prefix)


@pytest.fixture
async def kafka(these: Settings) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(these.kafka, Topics(prefix=these.topic_prefix))
    yield log
    await log.close()


@pytest.fixture
async def restorer(these: Settings) -> AsyncIterator[Restorer]:
    made = Restorer(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 1)
    yield made
    await made.close()


@pytest.fixture
async def original() -> CompactedLog:
    log = CompactedLog()
    await begin(log, settings())
    await live(log, Activity(7, partitions=PARTITIONS), 300)
    return log


def archive(folder: Path) -> Archive:
    return Archive(folder, Folder(folder).manifest())


async def restore(folder: Path, log: KafkaLog, restorer: Restorer) -> Restored:
    return await Restore(archive(folder), log, restorer).run(QUIET)


async def fold(log: CompactedLog | KafkaLog) -> dict[str, object]:
    """All that a replica has at the log's end: every document, position, chain, clock, memory."""
    model = MemoryReadModel()
    for partition in range(PARTITIONS):
        records = [
            Folded(offset=one.offset, timestamp=one.timestamp_ms, key=one.key, value=one.value)
            async for batch in log.read(Topic.LICENSE_EVENTS, partition, start=0)
            for one in batch
        ]
        await project(model, records, partition=partition, partitions=PARTITIONS)
        assert head_of(model, partition).position == len(records)
    return {**model.strings, **model.sorted_sets}


async def test_every_record_is_as_it_was_and_every_fold_the_same(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    done = await back_up(original, tmp_path, these.pepper)
    restored = await restore(tmp_path, kafka, restorer)
    assert restored.records == restored.written == done.records

    assert await all_records(kafka) == await all_records(original)
    assert await fold(kafka) == await fold(original)
    commands = [name for name in await fold(kafka) if ":C:" in name]
    assert len(commands) > 100, "remembered commands were compared"

    before, after = Replica(original), Replica(kafka)
    await before.take_over()
    await after.take_over()
    assert after.values == before.values


async def test_afterwards_it_is_a_ledger_like_any_other(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)
    done = await restore(tmp_path, kafka, restorer)
    assert await initialize(these, 1) == done.ledger
    described = await describe(these.kafka, Topics(prefix=these.topic_prefix))
    assert list(described.differing.values()) == [{}] * 4
    assert await all_records(kafka) == await all_records(original), "init has added nothing"

    appended = await kafka.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
    last = (await all_records(kafka))[Topic.LICENSE_EVENTS, 0][-1]
    assert last.timestamp_ms == appended.timestamp_ms
    assert last.timestamp_ms > 1_700_000_000_000, "the broker's own time"
    added = await back_up(kafka, tmp_path, these.pepper)
    assert added.records == 1, "the same folder goes on"


async def test_data_keys_open_and_erased_ones_are_gone_for_good(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    key, erased = [await append_data_key(original, LICENSE) for _ in range(2)]
    sealed = key.seal(ACCOUNT, LICENSE, "MATLAB")
    await append_data_key(original, LICENSE, key)
    await back_up(original, tmp_path, these.pepper)
    secret = next(
        one.value
        for one in (await all_records(original))[Topic.LICENSE_DATA_KEYS, 0]
        if read_record_key(one.key) == (LICENSE, erased.dk)
    )
    assert secret is not None
    await erase(original, LICENSE, erased.dk)
    await append_data_key(original, LICENSE)
    await original.compact()
    await back_up(original, tmp_path, these.pepper)
    await restore(tmp_path, kafka, restorer)

    before, after = Replica(original), Replica(kafka)
    await before.take_over()
    await after.take_over()
    assert after.values == before.values
    stored = await after.stored(LICENSE, key.dk)
    assert stored is not None
    ring = KeyRing(these.seal_keys)
    opened = ring.unwrap(stored, account=ACCOUNT, license_=LICENSE, dk=key.dk)
    assert opened.open(ACCOUNT, LICENSE, sealed) == "MATLAB"
    assert await after.stored(LICENSE, erased.dk) == b""
    in_kafka = (await all_records(kafka))[Topic.LICENSE_DATA_KEYS, 0]
    assert secret not in {one.value for one in in_kafka}, "not for a moment"
    last = (await all_records(original))[Topic.LICENSE_DATA_KEYS, 0][-1]
    assert in_kafka[-1] == last, "at the same offset"


class Stopped(Exception):
    """The restore was cut off here."""


class StoppingRestorer(Restorer):
    """Stops after some appends; before it stops it may store half of what it was given."""

    appends_left = 5

    async def append(self, topic: Topic, partition: int, records: Sequence[Record]) -> None:
        self.appends_left -= 1
        if self.appends_left == 0:
            await super().append(topic, partition, records[: len(records) // 2])
        if self.appends_left <= 0:
            raise Stopped
        await super().append(topic, partition, records)


async def test_an_interrupted_restore_is_no_ledger_yet_and_goes_on(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    done = await back_up(original, tmp_path, these.pepper)
    stopping = StoppingRestorer(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 1)
    try:
        with pytest.raises(Stopped):
            await restore(tmp_path, kafka, stopping)
    finally:
        await stopping.close()
    with pytest.raises((MissingTopic, NotInitialized)):
        await genesis.verify(kafka, pepper_check=these.pepper.check_value, partitions=PARTITIONS)
    with pytest.raises(NotInitialized, match="a restore did not come to its end"):
        await initialize(these, 1)

    restored = await restore(tmp_path, kafka, restorer)
    assert 0 < restored.written < done.records
    assert await all_records(kafka) == await all_records(original)
    assert (await restore(tmp_path, kafka, restorer)).written == 0
    described = await describe(these.kafka, Topics(prefix=these.topic_prefix))
    assert list(described.differing.values()) == [{}] * 4


class DoubtfulRestorer(Restorer):
    """Stores what it is given, all or half, and says that it doesn't know."""

    doubts = 4

    async def append(self, topic: Topic, partition: int, records: Sequence[Record]) -> None:
        if self.doubts == 0:
            return await super().append(topic, partition, records)
        self.doubts -= 1
        stored = len(records) if self.doubts % 2 else len(records) // 2
        await super().append(topic, partition, records[:stored])
        raise LogUnavailable("the broker did not acknowledge")


async def test_what_was_stored_without_an_acknowledgement_is_not_stored_twice(
    original: CompactedLog, kafka: KafkaLog, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)
    doubtful = DoubtfulRestorer(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 1)
    try:
        await restore(tmp_path, kafka, doubtful)
    finally:
        await doubtful.close()
    assert doubtful.doubts == 0
    assert await all_records(kafka) == await all_records(original)


async def test_a_ledger_that_lives_there_is_not_touched(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    await initialize(these, 1)
    before = await all_records(kafka)
    await back_up(original, tmp_path, these.pepper)
    with pytest.raises(NotRestorable, match="no restore left them"):
        await restore(tmp_path, kafka, restorer)
    await live(kafka, Activity(8, partitions=PARTITIONS), 1)
    young = CompactedLog()
    await begin(young, these)
    await back_up(young, tmp_path / "young", these.pepper)
    with pytest.raises(NotRestorable, match="a ledger lives there"):
        await restore(tmp_path / "young", kafka, restorer)
    after = await all_records(kafka)
    assert sum(map(len, after.values())) == sum(map(len, before.values())) + 2


async def test_half_a_restore_of_another_backup_is_not_gone_on_from(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    other = CompactedLog()
    await begin(other, these)
    await back_up(other, tmp_path / "other", these.pepper)
    stopping = StoppingRestorer(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 1)
    try:
        with pytest.raises(Stopped):
            await restore(tmp_path / "other", kafka, stopping)
    finally:
        await stopping.close()
    await back_up(original, tmp_path / "own", these.pepper)
    with pytest.raises(NotRestorable, match=r"is of ledger .*, and the backup of"):
        await restore(tmp_path / "own", kafka, restorer)


async def test_a_record_that_was_altered_in_between_is_found(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)
    [first, *_] = (await all_records(original))[Topic.LICENSE_EVENTS, 0]
    await restorer.make(Topic.LICENSE_EVENTS)
    altered = Record(
        partition=0, offset=1, timestamp_ms=first.timestamp_ms, key=first.key, value=first.value
    )
    await restorer.append(Topic.LICENSE_EVENTS, 0, [first, altered])
    with pytest.raises(NotRestorable, match="holds at offset 1 another record than the backup"):
        await restore(tmp_path, kafka, restorer)


async def test_somebody_else_who_writes_is_noticed(
    original: CompactedLog, kafka: KafkaLog, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)

    class Disturbed(Restorer):
        async def append(self, topic: Topic, partition: int, records: Sequence[Record]) -> None:
            if topic is Topic.LICENSE_EVENTS:
                await kafka.append(topic, partition, key=b"k", value=b"v")
            await super().append(topic, partition, records)

    disturbed = Disturbed(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 1)
    try:
        with pytest.raises(NotRestorable, match="something else writes there"):
            await restore(tmp_path, kafka, disturbed)
    finally:
        await disturbed.close()


async def test_a_damaged_backup_writes_nothing(
    original: CompactedLog, kafka: KafkaLog, restorer: Restorer, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)
    last = tmp_path / Folder(tmp_path).manifest().segments[-1].file
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(DamagedBackup, match="is cut off"):
        await restore(tmp_path, kafka, restorer)
    assert await restorer.found() == {}


async def test_more_copies_than_brokers_are_refused_at_once(
    original: CompactedLog, kafka: KafkaLog, tmp_path: Path, these: Settings
) -> None:
    await back_up(original, tmp_path, these.pepper)
    three = Restorer(these.kafka, Topics(prefix=these.topic_prefix), PARTITIONS, 3)
    with pytest.raises(NotMade, match="was not made"):
        await restore(tmp_path, kafka, three)
    await three.close()
