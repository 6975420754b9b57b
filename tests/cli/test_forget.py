from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from uuid import UUID

import pytest
from redis.asyncio import Redis

from cli import patience
from cli.forget import (
    Forgotten,
    ReplicaErasure,
    await_replicas,
    erase_first,
    forget,
    licenses_named,
)
from ledger.domain.identifiers import Pepper, license_id, partition_of, slug_id
from ledger.event_log.genesis import initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import EventLog, ForeignLog, Topics
from ledger.event_log.topics import create_topics
from ledger.sealing.erasure import Erasure
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import ERASED
from ledger.sealing.sealer import Sealer
from ledger.settings import Settings, read_settings
from projector.read_model import keys
from tests.ledger.sealing.replica import Replica
from tests.ports import free_ports
from tests.servers import KafkaServer, RedisServer

PARTITIONS = 16
LEDGER = "0f9619ff-8b86-4011-b42d-00cf4fc964ff"
PEPPER = secrets.token_hex(32)
SEAL_KEY = secrets.token_bytes(32)
KEY = "MATLAB"
ACCOUNT = slug_id(LEDGER, "account", "demo")
LICENSE = license_id(Pepper(bytes.fromhex(PEPPER)), ACCOUNT, KEY)
LONG_S = 30.0


def settings(**changed: str) -> Settings:
    return read_settings(
        {
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": f"k1:{SEAL_KEY.hex()}",
            **changed,
        }
    )


async def issue(log: EventLog, license_: str, *, partitions: int = PARTITIONS) -> str:
    sealer = Sealer(
        ring=KeyRing((("k1", SEAL_KEY),)),
        log=log,
        partitions=partitions,
        stored=Replica(log).stored,
    )
    return (await sealer.data_key_for_new(ACCOUNT, license_)).dk


async def project(log: EventLog, *servers: RedisServer, partitions: int = PARTITIONS) -> None:
    """What the projectors do: take the data keys over."""
    replica = Replica(log)
    await replica.take_over()
    for server in servers:
        async with Redis.from_url(server.url) as redis:
            for (license_, dk), value in replica.values.items():
                partition = partition_of(license_, partitions)
                await redis.set(keys.data_key(partition, license_, dk), value)


def erasure_of(*data_keys: str) -> Erasure:
    return Erasure(
        license=LICENSE,
        partition=partition_of(LICENSE, PARTITIONS),
        data_keys=data_keys,
        erased=len(data_keys),
        left_in_log=len(data_keys),
    )


def test_a_license_is_named_by_its_key_or_by_its_id() -> None:
    assert licenses_named(settings(), LEDGER, KEY) == (LICENSE,)
    assert licenses_named(settings(), LEDGER, LICENSE)[0] == LICENSE
    assert licenses_named(settings(), LEDGER, LICENSE.upper())[0] == LICENSE
    assert licenses_named(settings(), LEDGER, str(UUID(int=7)).replace("-", ""))[0] != LICENSE


async def test_a_key_that_looks_like_an_id_is_found_too() -> None:
    key = str(UUID(int=5))
    log = MemoryLog(PARTITIONS)
    named = licenses_named(settings(), LEDGER, key)
    dk = await issue(log, license_id(settings().pepper, ACCOUNT, key))
    erasure = await erase_first(log, named, partitions=PARTITIONS)
    assert (erasure.license, erasure.data_keys, erasure.erased) == (named[1], (dk,), 1)


async def test_an_id_is_tried_before_a_key() -> None:
    log = MemoryLog(PARTITIONS)
    named = licenses_named(settings(), LEDGER, LICENSE)
    dk = await issue(log, LICENSE)
    await issue(log, named[1])
    erasure = await erase_first(log, named, partitions=PARTITIONS)
    assert (erasure.license, erasure.data_keys) == (LICENSE, (dk,))


async def test_a_broker_that_is_busy_for_a_moment_is_asked_again() -> None:
    log = MemoryLog(PARTITIONS)
    await issue(log, LICENSE)
    log.unreachable = True
    erasing = asyncio.create_task(erase_first(log, (LICENSE,), partitions=PARTITIONS))
    await asyncio.sleep(0.1)
    assert not erasing.done()
    log.unreachable = False
    assert (await erasing).erased == 1


async def test_an_erasure_that_was_not_acknowledged_is_made_again() -> None:
    log = MemoryLog(PARTITIONS)
    dk = await issue(log, LICENSE)
    log.lose_acknowledgements = 2
    erasure = await erase_first(log, (LICENSE,), partitions=PARTITIONS)
    assert (erasure.data_keys, log.lose_acknowledgements) == ((dk,), 0)


async def test_a_broker_that_stays_busy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)
    log = MemoryLog(PARTITIONS)
    await issue(log, LICENSE)
    log.unreachable = True
    with pytest.raises(patience.BrokerAwayError):
        await erase_first(log, (LICENSE,), partitions=PARTITIONS)


async def test_a_license_that_nobody_issued_is_said_to_be_unknown() -> None:
    log = MemoryLog(PARTITIONS)
    erasure = await erase_first(log, (LICENSE,), partitions=PARTITIONS)
    replicas = await await_replicas(settings().replicas, erasure, timeout_s=LONG_S)
    forgotten = Forgotten(license=LICENSE, erasure=erasure, replicas=replicas)
    assert not forgotten.known
    assert forgotten.complete_for_readers


async def test_it_waits_until_every_replica_shows_the_erasure(
    new_redis: Callable[[], RedisServer],
) -> None:
    servers = [new_redis(), new_redis()]
    log = MemoryLog(PARTITIONS)
    data_keys = sorted([await issue(log, LICENSE), await issue(log, LICENSE)])
    await project(log, *servers)
    erasure = await erase_first(log, (LICENSE,), partitions=PARTITIONS)
    assert list(erasure.data_keys) == data_keys

    waiting = asyncio.create_task(
        await_replicas([server.url for server in servers], erasure, timeout_s=LONG_S)
    )
    await project(log, servers[0])
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done, "B still shows the data keys"
    await project(log, servers[1])
    assert await waiting == (
        ReplicaErasure(replica="A", erased=True),
        ReplicaErasure(replica="B", erased=True),
    )


async def test_a_replica_that_does_not_follow_is_named_and_bounds_nothing_else(
    new_redis: Callable[[], RedisServer],
) -> None:
    follows, stands_still, frozen = new_redis(), new_redis(), new_redis()
    (closed,) = free_ports(1)
    log = MemoryLog(PARTITIONS)
    await issue(log, LICENSE)
    await issue(log, LICENSE)
    await project(log, follows, stands_still)
    erasure = await erase_first(log, (LICENSE,), partitions=PARTITIONS)
    await project(log, follows)
    async with Redis.from_url(stands_still.url) as redis:
        name = keys.data_key(erasure.partition, LICENSE, erasure.data_keys[0])
        await redis.set(name, ERASED)
    frozen.freeze()
    urls = [follows.url, stands_still.url, frozen.url, f"redis://:hunter2@127.0.0.1:{closed}/0"]
    a, b, c, d = await await_replicas(urls, erasure, timeout_s=1.0)
    assert a == ReplicaErasure(replica="A", erased=True)
    assert [b.erased, c.erased, d.erased] == [False] * 3
    assert "1 of 2 data keys" in (b.trouble or "")
    assert "does not answer" in (c.trouble or "")
    assert "can't be reached" in (d.trouble or "")
    assert "hunter2" not in f"{b}{c}{d}"
    forgotten = Forgotten(license=LICENSE, erasure=erasure, replicas=(a, b, c, d))
    assert forgotten.known
    assert not forgotten.complete_for_readers


async def test_a_data_key_that_a_replica_never_heard_of_is_not_taken_for_erased(
    redis_server: RedisServer,
) -> None:
    (only,) = await await_replicas(
        [redis_server.url], erasure_of("00c0ffee00c0ffee"), timeout_s=0.5
    )
    assert not only.erased


async def test_forget_does_it_all_on_real_servers(
    kafka_server: KafkaServer, topics: Topics, new_redis: Callable[[], RedisServer]
) -> None:
    servers = [new_redis(), new_redis()]
    these = settings(
        LEDGER_KAFKA=kafka_server.bootstrap,
        LEDGER_REPLICAS=",".join(server.url for server in servers),
        LEDGER_PARTITIONS="1",
        LEDGER_TOPIC_PREFIX=topics.prefix,
    )
    await create_topics(kafka_server.bootstrap, partitions=1, topics=topics)
    log = KafkaLog(kafka_server.bootstrap, topics)
    try:
        check_value = these.pepper.check_value
        genesis = await initialize(log, pepper_check=check_value, partitions=1)
        license_ = license_id(these.pepper, slug_id(genesis.ledger, "account", "demo"), KEY)
        data_keys = sorted([await issue(log, license_, partitions=1) for _ in range(3)])
        other = await issue(log, LICENSE, partitions=1)

        forgetting = asyncio.create_task(forget(these, KEY, timeout_s=LONG_S))
        while not forgetting.done():
            await project(log, *servers, partitions=1)
            await asyncio.sleep(0.1)
        forgotten = await forgetting

        assert forgotten.license == license_
        assert list(forgotten.erasure.data_keys) == data_keys
        assert forgotten.erasure.erased == 3
        assert forgotten.complete_for_readers
        assert [one.replica for one in forgotten.replicas] == ["A", "B"]
        replica = Replica(log)
        await replica.take_over()
        live = [name for name, value in replica.values.items() if value != ERASED]
        assert live == [(LICENSE, other)]

        again = await forget(these, license_, timeout_s=LONG_S)
        assert (again.erasure.erased, again.known) == (0, True)
        assert not (await forget(these, "NOBODY", timeout_s=LONG_S)).known
        foreign = settings(
            LEDGER_KAFKA=kafka_server.bootstrap,
            LEDGER_PARTITIONS="1",
            LEDGER_TOPIC_PREFIX=topics.prefix,
            LEDGER_PEPPER=secrets.token_hex(32),
        )
        with pytest.raises(ForeignLog):
            await forget(foreign, KEY)
    finally:
        await log.close()
