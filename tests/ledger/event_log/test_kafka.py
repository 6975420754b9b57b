"""The log in Kafka keeps the contract, on a healthy broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import (
    FOLDED,
    IN_FLIGHT_MAX,
    Appended,
    AppendRefused,
    LogUnavailable,
    MissingTopic,
    TooManyAppends,
    Topic,
    Topics,
)
from ledger.event_log.topics import create_topics
from tests.ledger.event_log.contract import (
    EVENTS,
    KEYS,
    LIMIT_S,
    PARTITIONS,
    LogContract,
    append_numbers,
    records,
)
from tests.ledger.event_log.genesis_contract import (
    LEDGER,
    GenesisContract,
    append,
    made,
    of_ledger,
    verified,
)
from tests.ports import free_ports
from tests.servers import KafkaServer


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge no speed: on a busy machine a healthy broker may need more than its second."""
    monkeypatch.setattr("ledger.event_log.kafka.APPEND_TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)


@pytest.fixture
async def log(kafka_server: KafkaServer, topics: Topics, patience: None) -> AsyncIterator[KafkaLog]:
    await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
    log = KafkaLog(kafka_server.bootstrap, topics)
    yield log
    await log.close()


class TestKafkaLog(LogContract, GenesisContract):
    @pytest.fixture
    async def unreachable_log(self) -> AsyncIterator[KafkaLog]:
        log = KafkaLog(f"127.0.0.1:{free_ports(1)[0]}")
        yield log
        await log.close()


async def test_many_appends_in_flight_are_limited(log: KafkaLog) -> None:
    await append_numbers(log, 1)
    appends = [
        log.append(EVENTS, 0, key=b"k", value=b"%d" % number)
        for number in range(IN_FLIGHT_MAX + 50)
    ]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(one) for one in outcomes[IN_FLIGHT_MAX:]] == [TooManyAppends] * 50
    assert {type(one) for one in outcomes[:IN_FLIGHT_MAX]} == {Appended}
    assert len(await records(log)) == 1 + IN_FLIGHT_MAX
    assert (await append_numbers(log, 1))[0].offset == 1 + IN_FLIGHT_MAX


async def test_a_closed_log_takes_and_tells_nothing(log: KafkaLog) -> None:
    await append_numbers(log, 1)
    for _ in range(2):
        async with asyncio.timeout(LIMIT_S):
            await log.close()
    with pytest.raises(AppendRefused):
        await append_numbers(log, 1)


async def test_close_before_anything_was_done() -> None:
    async with asyncio.timeout(LIMIT_S):
        await KafkaLog("127.0.0.1:1").close()


async def test_nothing_is_left_running_after_close(log: KafkaLog) -> None:
    await append_numbers(log, 1)
    await records(log)
    await log.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_has_only_waited_leaves_the_connection_to_who_asks(log: KafkaLog) -> None:
    ends = await log.ends(Topic.LICENSE_EVENTS)
    asker = log._asker  # noqa: SLF001 - there is one, or a new one, and both answer
    async with log._asking:  # noqa: SLF001 - as another does, while the broker is slow
        with pytest.raises(LogUnavailable):
            await log.ends(Topic.LICENSE_EVENTS)
    assert log._asker is asker  # noqa: SLF001
    assert await log.ends(Topic.LICENSE_EVENTS) == ends


async def test_a_reading_that_was_left_open_ends_with_the_log(log: KafkaLog) -> None:
    await append_numbers(log, 1)
    reading = log.read(EVENTS, 0, start=0)
    await anext(reading)
    await log.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await reading.aclose()


async def test_missing_topics_are_named_and_found_once_they_are_made(
    kafka_server: KafkaServer, topics: Topics, patience: None
) -> None:
    log = KafkaLog(kafka_server.bootstrap, topics)
    name = topics.name(EVENTS)
    try:
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(MissingTopic, match=name):
                await log.append(EVENTS, 0, key=b"k", value=b"v")
            with pytest.raises(MissingTopic, match=name):
                await log.ends(EVENTS)
            with pytest.raises(MissingTopic, match=name):
                await records(log)
        await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
        await append_numbers(log, 2)
        assert len(await records(log)) == 2
    finally:
        await log.close()


async def test_a_ledger_of_before_goes_on_and_gets_what_came_later(
    kafka_server: KafkaServer, topics: Topics, patience: None
) -> None:
    """Without `incident-events`: appends to it are refused, and harm no other append."""
    log = KafkaLog(kafka_server.bootstrap, topics)
    name = topics.name(Topic.INCIDENT_EVENTS)
    try:
        async with asyncio.timeout(LIMIT_S):
            await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
            await _delete(kafka_server, name)
            for topic in FOLDED:
                for at in range(topic.partition_count(PARTITIONS)):
                    await append(log, topic, of_ledger(at))
            assert (await verified(log)).ledger == LEDGER
            await append_numbers(log, 2)
            producer = log._producer  # noqa: SLF001 - that it is the same one
            for _ in range(3):
                with pytest.raises(MissingTopic, match=name):
                    await log.append(Topic.INCIDENT_EVENTS, 0, key=b"k", value=b"v")
            await append_numbers(log, 2)
            assert log._producer is producer  # noqa: SLF001 - the same
            await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
            assert (await made(log)).ledger == LEDGER
            assert (await log.append(Topic.INCIDENT_EVENTS, 0, key=b"k", value=b"v")).offset == 1
    finally:
        await log.close()


async def _delete(kafka_server: KafkaServer, name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([name])
        while name in await admin.list_topics():
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_topics_are_made_as_the_law_has_them(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    for _ in range(2):
        await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    try:
        for topic in Topic:
            name = topics.name(topic)
            [described] = await admin.describe_topics([name])
            assert len(described["partitions"]) == topic.partition_count(PARTITIONS)
            resource = ConfigResource(ConfigResourceType.TOPIC, name)
            [answer] = await admin.describe_configs([resource])
            configs = {entry[0]: entry[1] for entry in answer.resources[0][-1]}
            assert configs["message.timestamp.type"] == "LogAppendTime"
            assert configs["min.insync.replicas"] == "1"
            assert configs["flush.messages"] == "1"
            assert configs["unclean.leader.election.enable"] == "false"
            if topic is KEYS:
                assert configs["cleanup.policy"] == "compact"
                assert configs["max.compaction.lag.ms"] == str(24 * 3600 * 1000)
            else:
                assert configs["cleanup.policy"] == "delete"
                assert configs["retention.ms"] == configs["retention.bytes"] == "-1"
    finally:
        await admin.close()


async def test_topics_of_another_number_of_partitions_are_named(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    await create_topics(kafka_server.bootstrap, partitions=PARTITIONS, topics=topics)
    with pytest.raises(MissingTopic, match=r"has 4 partitions.* 8"):
        await create_topics(kafka_server.bootstrap, partitions=8, topics=topics)


async def test_topics_can_t_be_made_without_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.event_log.topics.CREATE_TIMEOUT_S", 1.0)
    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(LogUnavailable):
            await create_topics(f"127.0.0.1:{free_ports(1)[0]}", partitions=PARTITIONS)


async def test_its_time_is_the_broker_s(log: KafkaLog) -> None:
    before_ms = time.time_ns() // 1_000_000
    [at] = await append_numbers(log, 1)
    assert before_ms - 60_000 < at.timestamp_ms < before_ms + 60_000
    assert [one.timestamp_ms for one in await records(log)] == [at.timestamp_ms]
