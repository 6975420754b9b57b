"""A real projector's metrics of room, from real brokers and a real Redis; and its alarm."""

from __future__ import annotations

import asyncio
import json
import shutil
import time

import pytest
from redis.asyncio import Redis

from ledger.connections import KafkaBrokers
from ledger.event_log.port import LogUnavailable, Topic
from ledger.event_log.volumes import volumes
from tests.activity import Activity
from tests.projector.replica import PARTITIONS, ProjectorProcess, Replica
from tests.servers import KafkaServer


async def test_brokers_tell_of_their_disk_and_of_each_partition(replica: Replica) -> None:
    await replica.append(list(Activity(7, partitions=PARTITIONS).appendables(300)))
    [found] = await volumes(KafkaBrokers(bootstrap=replica.kafka.bootstrap))
    disk = shutil.disk_usage(replica.kafka.directory)
    assert found.total == disk.total
    assert found.usable == pytest.approx(disk.free, rel=0.2)
    name = replica.topics.name(Topic.LICENSE_EVENTS)
    for partition in range(PARTITIONS):
        folder = replica.kafka.broker.data_directory / f"{name}-{partition}"
        files = sum(path.stat().st_size for path in folder.glob("*.log"))
        assert found.sizes[name, partition] == files > 0


async def test_a_broker_that_is_gone_is_told(own_kafka_server: KafkaServer) -> None:
    own_kafka_server.kill()
    with pytest.raises(LogUnavailable):
        await volumes(KafkaBrokers(bootstrap=own_kafka_server.bootstrap))


async def test_a_projector_shows_the_room_there_is(replica: Replica) -> None:
    process = replica.projector()
    await asyncio.to_thread(process.start)
    found = await _metrics(process)
    disk = shutil.disk_usage(replica.kafka.directory)
    assert found['ledger_capacity_size_bytes{store="kafka-1"}'] == disk.total
    assert found['ledger_capacity_room_bytes{store="kafka-1"}'] == pytest.approx(disk.free, rel=0.2)
    async with Redis.from_url(replica.store.url) as client:
        most = (await client.info())["maxmemory"]
    assert found['ledger_capacity_size_bytes{store="redis-A"}'] == most
    assert most / 2 < found['ledger_capacity_room_bytes{store="redis-A"}'] < most
    # The log is too young for days.
    assert not any("days_to_full{" in name for name in found)


async def test_a_projector_alarms_where_its_redis_is_nearly_full(replica: Replica) -> None:
    async with Redis.from_url(replica.store.url) as client:
        await client.setrange("foreign", 10_000_000, b"x")
        used = (await client.info())["used_memory"]
        await client.config_set("maxmemory", used + 500_000)
    process = replica.projector()
    await asyncio.to_thread(process.start)
    await _metrics(process)
    alarms = [line for line in map(json.loads, process.log().splitlines()) if "alarm" in line]
    [alarm] = [line for line in alarms if line["alarm"] == "redis-filling"]
    assert alarm["store"] == "redis-A"
    assert alarm["runbook"] == "docs/operations/capacity.md#redis-filling"
    assert "left" in alarm["text"]


async def _metrics(process: ProjectorProcess) -> dict[str, float]:
    """What it shows of room, as soon as it has looked at both."""
    deadline = time.monotonic() + 30
    while True:
        text = (await asyncio.to_thread(process.get, "/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith("ledger_capacity")]
        found = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
        if sum("room_bytes{" in name for name in found) == 2:
            return found
        assert time.monotonic() < deadline, (found, process.log())
        await asyncio.sleep(0.1)
