"""The catalog in real processes: folded, killed, moved to another slot, stopped by poison."""

from __future__ import annotations

import asyncio
import re
from random import Random

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from ledger.domain.catalog.events import CatalogEvent
from projector.read_model.keys import CATALOG, Keys
from tests.activity import Activity, Appendable
from tests.ledger.domain.given import ACCOUNT
from tests.projector.catalog_activity import appendables, catalog_events
from tests.projector.replica import PARTITIONS, ProjectorProcess, Replica, eventually, load


async def _append(replica: Replica, events: list[CatalogEvent]) -> None:
    await replica.append(appendables(iter(events)), replica.catalog)


def _projects_the_catalog(process: ProjectorProcess) -> bool:
    metrics = process.get("/metrics").text
    return 'ledger_projector_stopped{partition="catalog"} 0.0' in metrics


async def test_killed_at_any_moment_it_ends_with_the_bytes_of_an_independent_fold(
    replica: Replica,
) -> None:
    pick, events = Random(5), list(catalog_events(5, 900))
    process = await replica.start()
    for at in range(0, len(events), 300):
        await _append(replica, events[at : at + 300])
        await asyncio.sleep(pick.uniform(0.0, 0.1))
        await asyncio.to_thread(process.kill)
        await asyncio.to_thread(process.start)
    await replica.assert_catalog_equals_an_independent_fold()
    # A Redis that lost the catalog gets it back, though nothing new is written.
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        await client.delete(*[name async for name in client.scan_iter("{catalog}:*")])
    await replica.assert_catalog_equals_an_independent_fold()


@pytest.mark.slow
async def test_it_goes_with_the_first_partitions_and_is_lost_and_regained(
    replica: Replica,
) -> None:
    events = list(catalog_events(6, 400))
    first, second = await replica.start(0), await replica.start(1)

    async def one_has_it() -> bool:
        return [_projects_the_catalog(one) for one in (first, second)].count(True) == 1

    await eventually(one_has_it, what="one of two projects the catalog")
    async with load(replica, Activity(6, partitions=PARTITIONS)):
        await _append(replica, events[:200])
        holder, other = (first, second) if _projects_the_catalog(first) else (second, first)
        assert re.search(r'ledger_projector_stopped\{partition="0"\}', holder.get("/metrics").text)
        await asyncio.to_thread(holder.stop)
        await _append(replica, events[200:300])
        await replica.assert_catalog_equals_an_independent_fold()
        assert _projects_the_catalog(other)
        await asyncio.to_thread(holder.start)
        await _append(replica, events[300:])
    await replica.assert_catalog_equals_an_independent_fold()
    await replica.assert_equals_an_independent_fold()


async def test_a_projector_from_before_the_catalog_is_replaced_by_one_that_reads_it(
    replica: Replica,
) -> None:
    """Kafka keeps a static member's assignment while its session lasts: here it must not."""
    member = f"{replica.topics.prefix}projector-A"
    older = AIOKafkaConsumer(
        bootstrap_servers=replica.kafka.bootstrap,
        group_id=member,
        group_instance_id=f"{member}-0",
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=60_000,
    )
    older.subscribe([replica.events, replica.data_keys])
    await older.start()

    async def assigned() -> bool:
        return len(older.assignment()) == 2 * PARTITIONS

    await eventually(assigned, what="all that the older one reads")
    await older.stop()
    await replica.start()
    await _append(replica, list(catalog_events(8, 20)))
    await replica.assert_catalog_equals_an_independent_fold()


async def test_poison_in_the_catalog_stops_nothing_else(replica: Replica) -> None:
    process = await replica.start()
    await _append(replica, list(catalog_events(7, 20)))
    await replica.assert_catalog_equals_an_independent_fold()
    poison = Appendable(partition=0, key=ACCOUNT.encode(), value=b'{"name":"Canary"}')
    await replica.append([poison], replica.catalog)

    async def stopped() -> bool:
        return process.metric("ledger_projector_stopped") == 1

    await eventually(stopped, what="the catalog stopped")
    await replica.append(list(Activity(7, partitions=PARTITIONS).appendables(300)))
    await replica.assert_equals_an_independent_fold()
    log = process.log()
    assert '"alarm":"catalog-poison"' in log
    assert "Canary" not in log
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        assert b'"position":21' in (await client.get(Keys(CATALOG).head) or b"")
