"""What the broker does to a projector: restarts, freezes, jumps of its clock, replaced topics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from ledger.event_log.port import Topic
from tests.activity import Activity
from tests.cli.damage import Damaged
from tests.projector.faketime import FakeClock
from tests.projector.independent import stored_in_redis
from tests.projector.replica import (
    PARTITIONS,
    Replica,
    eventually,
    load,
    read_all,
    replica_on,
)
from tests.servers import KafkaServer, RedisServer

DAY_MS = 86_400_000


@pytest.fixture
async def own_replica(
    own_kafka_server: KafkaServer, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[Replica]:
    """A replica on a broker of its own, to be broken."""
    async with replica_on(own_kafka_server, redis_server, "", tmp_path) as started:
        yield started


@pytest.mark.slow
async def test_kafka_frozen_killed_and_restarted(own_replica: Replica) -> None:
    activity, kafka = Activity(51, partitions=PARTITIONS), own_replica.kafka
    process = await own_replica.start()
    await own_replica.append(list(activity.appendables(1500)))
    await own_replica.level()
    # Longer than the session of a group's member.
    kafka.freeze()
    await asyncio.sleep(7)
    before = [head.level_at_ms for head in await own_replica.heads()]
    await asyncio.sleep(0.5)
    assert [head.level_at_ms for head in await own_replica.heads()] == before
    kafka.thaw()
    await own_replica.append(list(activity.appendables(500)))
    await own_replica.level()
    await asyncio.to_thread(kafka.kill)
    await asyncio.to_thread(kafka.start)
    async with load(own_replica, activity):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(kafka.restart)
        await asyncio.sleep(0.5)
    await own_replica.assert_equals_an_independent_fold()
    # It leaves when it is told to, though nothing answers any more.
    kafka.freeze()
    own_replica.store.freeze()
    process.terminate()
    assert await asyncio.to_thread(process.exit_code) == 0


@pytest.mark.slow
async def test_the_brokers_clock_jumps_400_days_and_back(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    clock = FakeClock(tmp_path)
    kafka = KafkaServer(tmp_path / "kafka", env=clock.env)
    try:
        await asyncio.to_thread(kafka.start)
        async with replica_on(kafka, redis_server, "", tmp_path) as replica:
            await _jump(replica, clock)
    finally:
        kafka.kill()


async def _jump(replica: Replica, clock: FakeClock) -> None:
    activity = Activity(53, partitions=PARTITIONS)
    process = await replica.start()
    for days in (0, 400, 0, -400, 0):
        clock.set_days(days)
        await eventually(partial(_stamped, replica, activity, days), what=f"{days} days")
        await replica.append(list(activity.appendables(300)))
    await replica.assert_equals_an_independent_fold()
    assert process.running
    records = await read_all(replica.kafka, replica.events, 0)
    timestamps = [record.timestamp for record in records]
    assert max(timestamps) - min(timestamps) > 799 * DAY_MS
    assert any(later < earlier for earlier, later in pairwise(timestamps))
    # Two jumps ahead, ten seconds each, and the minutes that the test took.
    for head in await replica.heads():
        assert 20_000 <= head.elapsed_ms < 600_000


async def _stamped(replica: Replica, activity: Activity, days: int) -> bool:
    """Append a little; whether the broker says that it is another day."""
    await replica.append(list(activity.appendables(40)))
    await replica.level()
    expected_ms = time.time() * 1000 + days * DAY_MS
    stamps = [head.timestamp_ms or 0 for head in await replica.heads()]
    return all(abs(stamp - expected_ms) < DAY_MS for stamp in stamps)


async def test_a_topic_that_was_replaced_is_not_folded(replica: Replica) -> None:
    await replica.append(list(Activity(54, partitions=PARTITIONS).appendables(800)))
    process = await replica.start()
    await replica.assert_equals_an_independent_fold()
    before = [stored_in_redis(replica.store.url, partition) for partition in range(PARTITIONS)]
    admin = AIOKafkaAdminClient(bootstrap_servers=replica.kafka.bootstrap)
    await admin.start()
    try:
        names = {replica.topics.name(topic) for topic in Topic}
        await admin.delete_topics(list(names))

        async def gone() -> bool:
            return not names & set(await admin.list_topics())

        await eventually(gone, what="the topics' end")
        await replica.initialize()
    finally:
        await admin.close()

    async def stopped() -> bool:
        return process.metric("ledger_projector_stopped") == PARTITIONS + 1

    await eventually(stopped, what="all partitions and the catalog stopped")
    assert '"alarm":"log-replaced"' in process.log() or '"alarm":"foreign-log"' in process.log()
    assert process.get("/health/ready").status_code == 503
    await replica.append(list(Activity(55, partitions=PARTITIONS).appendables(2000)))
    # A new process recognizes it too, however far the new log has grown.
    await asyncio.to_thread(process.stop)
    await asyncio.to_thread(process.start, wait=False)
    assert await asyncio.to_thread(process.exit_code) == 2
    assert '"alarm":"foreign-log"' in process.log()
    after = [stored_in_redis(replica.store.url, partition) for partition in range(PARTITIONS)]
    assert after == before


async def test_an_edited_log_with_the_same_times_is_not_folded(replica: Replica) -> None:
    activity, edited = Activity(56, partitions=PARTITIONS), 1
    await replica.append(list(activity.appendables(400)))
    process = await replica.start()
    await replica.assert_equals_an_independent_fold()
    await asyncio.to_thread(process.stop)
    before = await asyncio.to_thread(stored_in_redis, replica.store.url, edited)
    damaged = Damaged(replica.environment)
    records = await asyncio.to_thread(damaged.records)
    last = records[edited][-1]
    value = (last.value or b"").replace(b'"time":"2022', b'"time":"2023')
    assert value != last.value
    records[edited][-1] = replace(last, value=value)
    await asyncio.to_thread(damaged.remake, Topic.LICENSE_EVENTS, records)
    await replica.append(list(activity.appendables(400)))
    await asyncio.to_thread(process.start, wait=False)
    ends = await replica.ends()

    async def others_reached() -> bool:
        positions = [head.position for head in await replica.heads()]
        return [at == end for at, end in zip(positions, ends, strict=True)] == [
            partition != edited for partition in range(PARTITIONS)
        ]

    await eventually(others_reached, what="the other partitions' ends")
    assert process.metric("ledger_projector_stopped") == 1
    assert process.get("/health/ready").status_code == 503
    assert '"alarm":"log-replaced"' in process.log()
    # What it holds stays, and is answered from, with its age.
    assert await asyncio.to_thread(stored_in_redis, replica.store.url, edited) == before
    stopped = (await replica.heads())[edited]
    assert stopped.level_at_ms > 0

    async def others_are_level_again() -> bool:
        heads = await replica.heads()
        return all(
            head.level_at_ms > stopped.level_at_ms
            for partition, head in enumerate(heads)
            if partition != edited
        )

    await eventually(others_are_level_again, what="the other partitions level again")
    assert (await replica.heads())[edited].level_at_ms == stopped.level_at_ms
