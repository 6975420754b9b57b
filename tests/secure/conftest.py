"""A broker and a Redis as `ledger up --secure` runs them, and ways to come to them wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from cli.local import certificates, kafka_users, security
from cli.local.certificates import Certificates
from cli.local.folder import data_folder
from cli.local.security import Security
from cli.patience import patiently
from tests.servers import KafkaServer, RedisServer


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Security:
    return security.make(data_folder(tmp_path_factory.mktemp("secured")))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Security:
    """Certificates of another CA, and other passwords."""
    return security.make(data_folder(tmp_path_factory.mktemp("strangers")))


@pytest.fixture(scope="session")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = data_folder(tmp_path_factory.mktemp("expired"))
    return certificates.make(folder, now=datetime.now(UTC) - timedelta(days=500))


@pytest.fixture(scope="session")
def secure_redis(
    secured: Security, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("secure-redis"), security=secured)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def secure_kafka(
    secured: Security, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KafkaServer]:
    server = KafkaServer(tmp_path_factory.mktemp("secure-kafka"), security=secured)
    try:
        server.start()
        asyncio.run(patiently(lambda: kafka_users.set_up(secured, server.controller_port)))
        yield server
    finally:
        server.kill()
