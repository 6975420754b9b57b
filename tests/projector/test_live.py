"""The projector as a process: what it folds, what it shows, what it refuses, how it leaves."""

from __future__ import annotations

import asyncio
from typing import cast

import redis.asyncio

from ledger.domain.identifiers import license_id
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.views.documents import read_license
from tests.activity import ACCOUNT, Activity, Appendable
from tests.activity import PEPPER as ACTIVITY_PEPPER
from tests.projector.replica import PARTITIONS, Replica, eventually

POISON = b'{"fingerprint":"top secret"'


async def test_follows_the_log_and_is_level(replica: Replica) -> None:
    activity = Activity(1, partitions=PARTITIONS)
    await replica.append(list(activity.appendables(1000)))
    process = await replica.start()
    await replica.assert_equals_an_independent_fold()
    await replica.append(list(activity.appendables(500)))
    await replica.assert_equals_an_independent_fold()

    # Level goes on while nothing happens.
    async def leveled_again() -> bool:
        return all(head.level_at_ms > before for head in await replica.heads())

    before = max(head.level_at_ms for head in await replica.heads())
    await eventually(leveled_again, what="a later level-at")
    assert process.metric("ledger_projector_events_total") > 1000
    assert process.metric("ledger_projector_lag") == 0
    assert process.get("/health/live").status_code == 200
    assert process.get("/health").status_code == 200
    assert process.get("/nothing").status_code == 404
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        assert await client.get(keys.serving(0)) == b"1"
        assert b"pepper" in (await client.get(keys.genesis(0)) or b"")

    process.terminate()
    assert await asyncio.to_thread(process.exit_code) == 0
    assert '"text":"stopping"' in process.log()


async def test_poison_freezes_one_license_and_the_others_go_on(replica: Replica) -> None:
    activity = Activity(2, partitions=PARTITIONS)
    items = list(activity.appendables(600))
    victim = items[0]
    nobody = Appendable(partition=1, key=b"no license", value=POISON)
    poison = Appendable(partition=victim.partition, key=victim.key, value=POISON)
    process = await replica.start()
    await replica.append([*items[:300], poison, nobody, *items[300:]])
    await replica.assert_equals_an_independent_fold()
    assert process.metric("ledger_projector_poison_total") == 1
    assert process.metric("ledger_projector_unroutable_total") == 1
    assert process.metric("ledger_projector_frozen_licenses") == 1
    assert process.metric("ledger_projector_stopped") == 0
    log = process.log()
    assert '"alarm":"poison-record"' in log
    assert '"alarm":"unroutable-record"' in log
    assert "secret" not in log
    name = Keys(victim.partition).license((victim.key or b"").decode())
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        assert read_license(cast("bytes", await client.get(name))).frozen_at is not None
    # Started again it still knows.
    await asyncio.to_thread(process.restart)
    assert process.metric("ledger_projector_frozen_licenses") == 1


async def test_rules_unknown_here_stop_their_partition_only(replica: Replica) -> None:
    activity = Activity(3, partitions=PARTITIONS)
    items = list(activity.appendables(400))
    last = items[-1]
    later = Appendable(
        partition=last.partition,
        key=last.key,
        value=(last.value or b"").replace(b'"rules":1', b'"rules":3'),
    )
    process = await replica.start()
    await replica.append([*items, later, *activity.appendables(200)])
    ends = await replica.ends()

    async def others_reached() -> bool:
        positions = [head.position for head in await replica.heads()]
        reached = [at == end for at, end in zip(positions, ends, strict=True)]
        return reached == [partition != last.partition for partition in range(PARTITIONS)]

    await eventually(others_reached, what="the other partitions' ends")
    assert process.metric("ledger_projector_stopped") == 1
    assert '"alarm":"unknown-rules"' in process.log()
    await asyncio.sleep(1)
    head = (await replica.heads())[last.partition]
    assert head.position < ends[last.partition]
    others = [it for at, it in enumerate(await replica.heads()) if at != last.partition]
    assert all(it.level_at_ms > head.level_at_ms for it in others)


async def test_data_keys_are_taken_over_and_erased(replica: Replica) -> None:
    license_ = license_id(ACTIVITY_PEPPER, ACCOUNT, "data keys")
    partition = int(license_[-3:], 16) % PARTITIONS

    def record(dk: str, value: bytes | None) -> Appendable:
        return Appendable(partition=partition, key=f"{license_}:{dk}".encode(), value=value)

    first, second = "00" * 8, "ff" * 8
    await replica.append(
        [record(first, b"sealed 1"), record(second, b"sealed 2")], replica.data_keys
    )
    process = await replica.start()
    names = [keys.data_key(partition, license_, dk) for dk in (first, second)]

    async def holds(*values: bytes) -> bool:
        async with redis.asyncio.Redis.from_url(replica.store.url) as client:
            return await client.mget(names) == list(values)

    await eventually(lambda: holds(b"sealed 1", b"sealed 2"), what="both data keys")
    strange = Appendable(partition=partition, key=b"no data key", value=b"?")
    await replica.append([strange, record(first, None)], replica.data_keys)
    await eventually(lambda: holds(b"", b"sealed 2"), what="an erased data key")
    await asyncio.to_thread(process.stop)
    await replica.append([record(second, b"sealed again")], replica.data_keys)
    await asyncio.to_thread(process.start)
    await eventually(lambda: holds(b"", b"sealed again"), what="the last word of each")
    # A Redis that lost them gets them back, without any new record.
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        await client.delete(*names, keys.data_keys_position(partition))
    await eventually(lambda: holds(b"", b"sealed again"), what="data keys after a loss")


async def test_refuses_a_foreign_log_pepper_and_number(replica: Replica) -> None:
    for changes in ({"LEDGER_PEPPER": "77" * 32}, {"LEDGER_PARTITIONS": "8"}):
        process = replica.projector(changes=changes)
        await asyncio.to_thread(process.start, wait=False)
        assert await asyncio.to_thread(process.exit_code) == 2
        assert '"alarm":"foreign-log"' in process.log()
    assert [head.position for head in await replica.heads()] == [0] * PARTITIONS


async def test_refuses_settings_by_name(replica: Replica) -> None:
    process = replica.projector(changes={"LEDGER_REPLICA": "C"})
    await asyncio.to_thread(process.start, wait=False)
    assert await asyncio.to_thread(process.exit_code) == 2
    assert "LEDGER_REPLICA is one of A" in process.log()


async def test_waits_for_redis_at_its_start(replica: Replica) -> None:
    await asyncio.to_thread(replica.store.stop)
    process = await replica.start(wait=False)

    async def waiting() -> bool:
        return process.log_path.exists() and "waiting up to 60 s for Redis" in process.log()

    await eventually(waiting, what="a word of waiting")
    assert process.get("/health/ready").status_code == 503
    await asyncio.to_thread(replica.store.start)
    await asyncio.to_thread(process.wait_ready)
    assert process.log().count("waiting up to") == 1
    await replica.assert_equals_an_independent_fold()
