"""Erasure is complete in a real Kafka when it has compacted, and `erase` sees to that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ledger.domain.identifiers import Pepper
from ledger.event_log.genesis import initialize, verify
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic, Topics
from ledger.event_log.topics import create_topics
from ledger.sealing.erasure import erase
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import decode
from ledger.sealing.sealer import Sealer
from tests.ledger.sealing.replica import Replica, records
from tests.servers import KafkaServer

ACCOUNT = "4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11"
LICENSE = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
RING = KeyRing((("k1", b"\x11" * 32),))
PEPPER_CHECK = Pepper(bytes(32)).check_value
LAG_MS = 1_000
LIMIT_S = 110.0


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_a_forgotten_data_key_leaves_the_disk(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    name = topics.name(Topic.LICENSE_DATA_KEYS)
    folder = kafka_server.directory / "data" / f"{name}-0"
    await create_topics(kafka_server.bootstrap, partitions=1, topics=topics)
    await _hurry(kafka_server, name)
    log = KafkaLog(kafka_server.bootstrap, topics)
    try:
        await initialize(log, pepper_check=PEPPER_CHECK, partitions=1)
        sealer = Sealer(ring=RING, log=log, partitions=1, stored=Replica(log).stored)
        data_key = await sealer.data_key_for_new(ACCOUNT, LICENSE)
        sealed = await _sealed_bytes(log)
        assert _holds(folder, sealed)

        erasure = await erase(log, LICENSE, partitions=1)
        assert (erasure.erased, erasure.left_in_log) == (1, 1)
        async with asyncio.timeout(LIMIT_S):
            while (await erase(log, LICENSE, partitions=1)).left_in_log:
                await asyncio.sleep(LAG_MS / 1000)
            while _holds(folder, sealed):
                await asyncio.sleep(0.1)

        again = await erase(log, LICENSE, partitions=1)
        assert again.data_keys == (data_key.dk,), "the tombstone stays, for replicas that were away"
        assert again.erased == 0
        await verify(log, pepper_check=PEPPER_CHECK, partitions=1)
    finally:
        await log.close()


async def _hurry(server: KafkaServer, name: str) -> None:
    """A second in place of a day, and old files deleted at once."""
    settings = {
        "cleanup.policy": "compact",
        "message.timestamp.type": "LogAppendTime",
        "max.compaction.lag.ms": str(LAG_MS),
        "segment.ms": str(LAG_MS),
        "file.delete.delay.ms": "0",
    }
    admin = AIOKafkaAdminClient(bootstrap_servers=server.bootstrap)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, settings)])
    finally:
        await admin.close()


async def _sealed_bytes(log: KafkaLog) -> bytes:
    found = await records(log, Topic.LICENSE_DATA_KEYS, 0)
    assert found[-1].value is not None
    return decode(found[-1].value).sealed.encode()


def _holds(folder: Path, content: bytes) -> bool:
    return any(content in _read(path) for path in folder.iterdir() if ".log" in path.name)


def _read(path: Path) -> bytes:
    """Contents of a segment, none where the broker has just deleted it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
