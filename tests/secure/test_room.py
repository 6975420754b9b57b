"""Who may ask how full servers are: a projector of its brokers and its Redis, the API of none."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import NoPermissionError

from cli.local.security import Security
from cli.patience import patiently
from ledger.connection_settings import read_brokers
from ledger.event_log.port import LogUnavailable
from ledger.event_log.volumes import volumes
from projector.capacity.looking import redis_info
from tests.secure.test_kafka import brokers
from tests.secure.test_redis import url
from tests.servers import KafkaServer, RedisServer


async def test_a_projector_asks_the_brokers_and_the_api_may_not(
    secure_kafka: KafkaServer, secured: Security
) -> None:
    # A broker hears of its users from the controller, some time after that took them.
    [found] = await patiently(lambda: volumes(brokers(secure_kafka, secured, "projector")))
    assert found.usable
    async with asyncio.timeout(20):
        while True:
            with pytest.raises(LogUnavailable) as refused:
                await volumes(brokers(secure_kafka, secured, "api"))
            if "DESCRIBE on the cluster" in str(refused.value):
                break


async def test_a_wrong_password_is_told_as_such(
    secure_kafka: KafkaServer, secured: Security, strangers: Security
) -> None:
    access = strangers.access("projector")
    mixed = {**secured.environment(), "LEDGER_KAFKA": secure_kafka.bootstrap}
    mixed |= {name: value for name, value in access.items() if name.startswith("LEDGER_KAFKA")}
    with pytest.raises(LogUnavailable, match="refuses the user 'projector' or the password"):
        await volumes(read_brokers(mixed))


async def test_a_projector_asks_its_redis_and_the_api_may_not(
    secure_redis: RedisServer, secured: Security
) -> None:
    assert (await redis_info(url(secure_redis, secured, "projector")))["used_memory"]
    with pytest.raises(NoPermissionError):
        await redis_info(url(secure_redis, secured, "api"))
