"""A real projector at a log that is being restored: it waits, and then folds what it always did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from cli.archiving.restore import Restore
from ledger.archive.folder import Folder
from ledger.archive.manifest import Manifest
from ledger.archive.reading import Archive
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Record, Topic, Topics
from ledger.event_log.restoring import Restorer
from projector.views.documents import Head
from tests.activity import Activity
from tests.cli.archiving.ledgers import QUIET, CompactedLog, back_up, begin, live, settings
from tests.projector.replica import PARTITIONS, PEPPER, Replica, eventually
from tests.servers import KafkaServer, RedisServer

THESE = settings(LEDGER_PEPPER=PEPPER)
LIMIT_S = 60.0


class Stopped(Exception):
    """The restore was cut off here."""


class BeforeTheCatalog(Restorer):
    """Goes no further than to the catalog."""

    async def append(self, topic: Topic, partition: int, records: Sequence[Record]) -> None:
        if topic is Topic.CATALOG_EVENTS:
            raise Stopped
        await super().append(topic, partition, records)


@pytest.fixture
async def replica(
    kafka_server: KafkaServer, redis_server: RedisServer, topics: Topics, tmp_path: Path
) -> AsyncIterator[Replica]:
    """A replica of topics that are not there yet."""
    found = Replica(kafka_server, redis_server, topics.prefix, tmp_path)
    yield found
    found.kill_all()


async def restore(replica: Replica, archive: Archive, kind: type[Restorer]) -> None:
    brokers = settings(LEDGER_KAFKA=replica.kafka.bootstrap).kafka
    log, restorer = KafkaLog(brokers, replica.topics), kind(brokers, replica.topics, PARTITIONS, 1)
    try:
        await Restore(archive, log, restorer).run(QUIET)
    finally:
        await restorer.close()
        await log.close()


def as_in(manifest: Manifest, heads: Sequence[Head]) -> bool:
    """Whether a replica has folded what the manifest says: the same positions, the same chains."""
    said = {
        one.partition: (one.end, one.chain)
        for one in manifest.ends
        if one.topic is Topic.LICENSE_EVENTS
    }
    return said == {number: (one.position, one.chain) for number, one in enumerate(heads)}


async def test_a_projector_waits_for_the_whole_log_and_folds_the_same(
    replica: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)
    original = CompactedLog(PARTITIONS)
    await begin(original, THESE)
    await live(original, Activity(11, partitions=PARTITIONS), 300)
    await back_up(original, tmp_path / "b", THESE.pepper)
    archive = Archive(tmp_path / "b", Folder(tmp_path / "b").manifest())
    with pytest.raises(Stopped):
        await restore(replica, archive, BeforeTheCatalog)

    projector = await replica.start(wait=False)

    async def waits() -> bool:
        return projector.log_path.exists() and "for the log's beginning" in projector.log()

    await eventually(waits, what="the projector waits")
    assert await replica.heads() == [Head()] * PARTITIONS
    await restore(replica, archive, Restorer)

    async def folded() -> bool:
        return as_in(archive.manifest, await replica.heads())

    await eventually(folded, what="the positions and chains of the backup")
    await asyncio.to_thread(projector.wait_ready)
    await replica.assert_equals_an_independent_fold()
    await replica.assert_catalog_equals_an_independent_fold()
