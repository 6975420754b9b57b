"""Kafka over TLS with users: the log's contract, what each may do, what a wrong one is told."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from cli.local.certificates import Certificates
from cli.local.security import Security
from cli.patience import patiently
from ledger.connection_settings import read_brokers
from ledger.connections import KafkaBrokers
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import AppendRefused, AppendUnknown, LogUnavailable, Topics
from ledger.event_log.topics import create_topics
from tests.ledger.event_log.contract import EVENTS, LIMIT_S, PARTITIONS, LogContract
from tests.ports import free_ports
from tests.servers import KafkaServer


def brokers(server: KafkaServer, secured: Security, user: str) -> KafkaBrokers:
    """What a process of that user makes of its environment."""
    environment = {**secured.environment(), **secured.access(user)}
    return read_brokers({**environment, "LEDGER_KAFKA": server.bootstrap})


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge no speed: on a busy machine a healthy broker may need more than its second."""
    monkeypatch.setattr("ledger.event_log.kafka.APPEND_TIMEOUT_S", LIMIT_S)
    monkeypatch.setattr("ledger.event_log.kafka.READ_TIMEOUT_S", LIMIT_S)


@pytest.fixture
async def made(secure_kafka: KafkaServer, secured: Security, topics: Topics) -> Topics:
    admin = brokers(secure_kafka, secured, "admin")
    # A broker hears of its users from the controller, some time after that took them.
    await patiently(lambda: create_topics(admin, partitions=PARTITIONS, topics=topics))
    return topics


@pytest.fixture
async def log(
    secure_kafka: KafkaServer, secured: Security, made: Topics, patience: None
) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(brokers(secure_kafka, secured, "api"), made)
    yield log
    await log.close()


class TestSecureKafkaLog(LogContract):
    @pytest.fixture
    async def unreachable_log(self, secured: Security) -> AsyncIterator[KafkaLog]:
        nowhere = f"127.0.0.1:{free_ports(1)[0]}"
        environment = {**secured.environment(), "LEDGER_KAFKA": nowhere}
        log = KafkaLog(read_brokers(environment))
        yield log
        await log.close()


async def test_a_projector_reads_and_does_not_append(
    secure_kafka: KafkaServer,
    secured: Security,
    made: Topics,
    log: KafkaLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await log.append(EVENTS, 0, key=b"k", value=b"v")
    monkeypatch.setattr("ledger.event_log.kafka.APPEND_TIMEOUT_S", 1.0)
    projector = KafkaLog(brokers(secure_kafka, secured, "projector"), made)
    try:
        assert (await projector.ends(EVENTS))[0] == 1
        with pytest.raises((AppendRefused, AppendUnknown)):
            await projector.append(EVENTS, 0, key=b"k", value=b"v")
        assert (await log.ends(EVENTS))[0] == 1
    finally:
        await projector.close()


async def test_only_the_admin_makes_topics(
    secure_kafka: KafkaServer, secured: Security, topics: Topics
) -> None:
    with pytest.raises(LogUnavailable):
        await create_topics(brokers(secure_kafka, secured, "api"), partitions=1, topics=topics)


async def told(kafka: KafkaBrokers) -> str:
    """What the log says of brokers that refuse it, in bounded time, without the password."""
    log = KafkaLog(kafka)
    started = time.monotonic()
    try:
        with pytest.raises(LogUnavailable) as refused:
            await log.ends(EVENTS)
    finally:
        await log.close()
    assert time.monotonic() - started < LIMIT_S
    said = str(refused.value)
    assert not kafka.password or kafka.password not in said
    return said


async def test_each_wrong_way_is_told_in_words(
    secure_kafka: KafkaServer, secured: Security, strangers: Security, patience: None
) -> None:
    right = brokers(secure_kafka, secured, "api")
    assert "LEDGER_KAFKA_PASSWORD_FILE" in await told(replace(right, password="hunter2"))
    assert "LEDGER_KAFKA_USER" in await told(replace(right, user="nobody"))
    assert "LEDGER_KAFKA_MECHANISM" in await told(replace(right, mechanism="PLAIN"))
    said = await told(replace(right, ca_file=str(strangers.certificates.ca)))
    assert "certificate is not trusted" in said
    assert "LEDGER_KAFKA_CA_FILE" in said
    said = await told(KafkaBrokers(bootstrap=secure_kafka.bootstrap))
    assert "LEDGER_KAFKA_SECURITY=PLAINTEXT" in said
    with pytest.raises(LogUnavailable, match="LEDGER_KAFKA_PASSWORD_FILE"):
        await create_topics(replace(right, password="hunter2"), partitions=1)


async def test_the_controller_takes_nobody_but_the_broker(
    secure_kafka: KafkaServer, secured: Security
) -> None:
    controller = secured.controller(secure_kafka.controller_port)
    stranger = replace(controller, certificate_file="", key_file="")
    said = await told(stranger)
    assert "the log's ends" in said


async def test_an_expired_certificate_is_told(expired: Certificates, secured: Security) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(expired.certificate("kafka"), expired.key("kafka"))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        environment = {**secured.environment(), "LEDGER_KAFKA": f"127.0.0.1:{port}"}
        said = await told(replace(read_brokers(environment), ca_file=str(expired.ca)))
    assert "certificate has expired" in said
