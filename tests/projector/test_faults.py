"""Whatever happens to a projector, its replica ends with the bytes of an independent fold."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import redis.asyncio

from tests.activity import Activity
from tests.projector.replica import PARTITIONS, ProjectorProcess, Replica, eventually, load
from tests.servers import RedisServer

ZOMBIES = 6


def _activity(seed: int) -> Activity:
    return Activity(seed, partitions=PARTITIONS)


async def _folds_on(replica: Replica) -> None:
    """Wait until every partition gets further."""
    before = [head.position for head in await replica.heads()]

    async def further() -> bool:
        now = [head.position for head in await replica.heads()]
        return all(new > old for new, old in zip(now, before, strict=True))

    await eventually(further, what=f"further than {before}")


def _metrics_of(process: ProjectorProcess) -> str:
    return process.get("/metrics").text


async def _ended(process: ProjectorProcess) -> int:
    return await asyncio.to_thread(process.exit_code)


@pytest.mark.parametrize(
    "kills",
    [1, pytest.param(30, marks=(pytest.mark.slow, pytest.mark.timeout(600)))],
)
async def test_killed_under_load_at_any_moment(replica: Replica, kills: int) -> None:
    pick = Random(kills)
    async with load(replica, _activity(kills)):
        process = await replica.start()
        for _ in range(kills):
            await asyncio.sleep(pick.uniform(0.0, 0.7))
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start)
        await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()


async def test_a_partition_is_lost_and_regained(replica: Replica) -> None:
    async with load(replica, _activity(41)):
        first = await replica.start(0)
        second = await replica.start(1)

        async def shared() -> bool:
            counts = [
                len(re.findall(r'ledger_projector_position\{partition="\d', _metrics_of(process)))
                for process in (first, second)
            ]
            return counts == [PARTITIONS // 2, PARTITIONS // 2]

        await eventually(shared, what="each has half of the partitions")
        await _folds_on(replica)
        await asyncio.to_thread(second.stop)
        await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_zombie_writes_late(replica: Replica) -> None:
    pick = Random(ZOMBIES)
    activity = _activity(42)
    first, second = await replica.start(0), await replica.start(1)
    for _ in range(ZOMBIES):
        # A backlog, so that the freeze falls into the middle of its work.
        await replica.append(list(activity.appendables(6000)))
        await asyncio.sleep(pick.uniform(0.0, 0.1))
        first.freeze()
        # Its session runs out, the other one takes over and goes on without it.
        await replica.level()
        await replica.append(list(activity.appendables(300)))
        await replica.level()
        first.thaw()
        async with load(replica, activity):
            await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()
    assert first.running
    assert second.running


async def test_a_frozen_holder_of_a_slot_is_replaced_and_ends_when_it_thaws(
    replica: Replica,
) -> None:
    async with load(replica, _activity(43)):
        first = await replica.start(0)
        first.freeze()
        second = await replica.start(0)
        await _folds_on(replica)
        first.thaw()
        assert await _ended(first) == 1
        assert '"alarm":"slot-taken"' in first.log()
        await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()
    assert second.running


async def test_a_second_holder_of_a_slot_ends_and_harms_nobody(replica: Replica) -> None:
    async with load(replica, _activity(44)):
        first = await replica.start(0)
        second = await replica.start(0, wait=False)
        assert await _ended(second) == 1
        assert '"alarm":"slot-taken"' in second.log()
        await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()
    assert first.metric("ledger_projector_rebalances_total") == 0


@pytest.mark.slow
async def test_holders_of_one_slot_that_do_not_see_each_others_lock(
    replica: Replica, new_redis: Callable[[], RedisServer], tmp_path: Path
) -> None:
    # The same replica letter and slot with another Redis: one static member, two locks.
    other = Replica(replica.kafka, new_redis(), replica.topics.prefix, tmp_path / "other")
    try:
        async with load(replica, _activity(48)):
            first, second = await replica.start(0), await other.start(0, wait=False)

            async def one_ended() -> bool:
                return not (first.running and second.running)

            await eventually(one_ended, what="the end of one of them", timeout_s=90)
        ended, goes_on, survivor = (
            (second, first, replica) if first.running else (first, second, other)
        )
        assert await _ended(ended) == 1
        assert '"alarm":"assignment-swings"' in ended.log()
        # It may have lost the assignment as often by then; its supervisor starts it again.
        await asyncio.sleep(3)
        if not goes_on.running:
            await asyncio.to_thread(goes_on.start)
        await survivor.assert_equals_an_independent_fold()
    finally:
        other.kill_all()


async def test_redis_restarted_empty(replica: Replica) -> None:
    await replica.append(list(_activity(45).appendables(2000)))
    process = await replica.start()
    await replica.assert_equals_an_independent_fold()
    await asyncio.to_thread(replica.store.kill)
    replica.store.wipe()
    await asyncio.to_thread(replica.store.start)
    # Nothing is appended: it has to notice by itself.
    await replica.assert_equals_an_independent_fold()
    assert process.running
    assert process.metric("ledger_projector_went_back_total") >= PARTITIONS


async def test_redis_restarted_older(replica: Replica, tmp_path: Path) -> None:
    activity, aside = _activity(46), tmp_path / "older"
    await replica.append(list(activity.appendables(1000)))
    process = await replica.start()
    await replica.level()
    await asyncio.to_thread(replica.store.stop)
    shutil.copytree(replica.store.data_directory, aside)
    older = 0
    await asyncio.to_thread(replica.store.start)
    async with load(replica, activity):
        older = sum(head.position for head in await replica.heads())
        await _folds_on(replica)
    await replica.level()
    await asyncio.to_thread(replica.store.kill)
    replica.store.wipe()
    shutil.copytree(aside, replica.store.data_directory)
    await asyncio.to_thread(replica.store.start)
    await replica.append(list(activity.appendables(100)))
    await replica.assert_equals_an_independent_fold()
    assert sum(head.position for head in await replica.heads()) > older
    assert process.running
    assert process.metric("ledger_projector_went_back_total") > 0


async def test_redis_frozen_and_full_and_back(replica: Replica) -> None:
    activity = _activity(47)
    process = await replica.start()
    async with load(replica, activity):
        await _folds_on(replica)
        replica.store.freeze()
        await asyncio.sleep(2.5)
        replica.store.thaw()
        await _folds_on(replica)
        async with redis.asyncio.Redis.from_url(replica.store.url) as admin:
            await admin.config_set("maxmemory", "1mb")

            async def refused() -> bool:
                return "its memory is full" in process.log()

            await eventually(refused, what="a refused batch")
            await admin.config_set("maxmemory", "256mb")
        await _folds_on(replica)
    await replica.assert_equals_an_independent_fold()
    assert process.running
