"""Fixtures for every suite: real servers, and topics of one's own on a shared broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from ledger.event_log.port import Topics
from tests.servers import KafkaServer, RedisServer

for suite in ("contract", "genesis_contract"):
    pytest.register_assert_rewrite(f"tests.ledger.event_log.{suite}")


settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# No test judges speed, on a busy machine least of all.


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """One broker for all tests of this process; one that breaks a broker starts its own."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """A started broker of the test's own, to stop, kill and freeze."""
    server = KafkaServer(tmp_path_factory.mktemp("own-kafka"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def topics() -> Topics:
    """Names for topics that nobody else uses on the shared broker (they don't exist yet)."""
    return Topics(prefix=f"t{uuid4().hex[:12]}-")


@pytest.fixture
def new_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], RedisServer]]:
    """Start as many empty Redis servers as the test asks for."""
    started: list[RedisServer] = []

    def start() -> RedisServer:
        server = RedisServer(tmp_path_factory.mktemp("redis"))
        started.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in started:
            server.kill()


@pytest.fixture
def redis_server(new_redis: Callable[[], RedisServer]) -> RedisServer:
    """One empty Redis of the test's own."""
    return new_redis()
