"""Fixtures of the projector's suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.event_log.port import Topics
from tests.projector.replica import Replica, replica_on
from tests.servers import KafkaServer, RedisServer


@pytest.fixture
async def replica(
    kafka_server: KafkaServer, redis_server: RedisServer, topics: Topics, tmp_path: Path
) -> AsyncIterator[Replica]:
    """A replica on the shared broker, with a Redis of its own."""
    async with replica_on(kafka_server, redis_server, topics.prefix, tmp_path) as started:
        yield started
