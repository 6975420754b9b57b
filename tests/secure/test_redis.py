"""Redis over TLS with users: what each may do, and what a wrong one is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from redis.exceptions import ConnectionError as Refused

from api.redis_link import Link
from cli.local.certificates import Certificates
from cli.local.security import Security
from ledger.connection_settings import read_replicas
from projector.read_model import keys
from projector.read_model.port import LevelMark, ReadModelUnavailableError
from projector.read_model.redis import RedisReadModel
from projector.read_model.wire import Away
from tests.projector.read_model.samples import LICENSE, NAMES, batch
from tests.servers import RedisServer

TIMED_OUT = "TimeoutError"
LIMIT_S = 5.0


def url(server: RedisServer, secured: Security, user: str, **changes: str) -> str:
    """The URL that a process of that user makes of its environment."""
    environment = {
        **secured.environment(),
        **secured.access(user),
        "LEDGER_REPLICAS": server.url,
        **changes,
    }
    [found] = read_replicas(environment)
    return found


@pytest.fixture
async def model(secure_redis: RedisServer, secured: Security) -> AsyncIterator[RedisReadModel]:
    found = RedisReadModel(url(secure_redis, secured, "projector"))
    yield found
    await found.close()


async def test_a_projector_does_all_it_has_to(
    model: RedisReadModel, secure_redis: RedisServer, secured: Security
) -> None:
    with Redis.from_url(url(secure_redis, secured, "admin")) as admin:
        admin.flushall()
    link = Link(url(secure_redis, secured, "api"))
    try:
        async with aclosing(link.publications(["positions"])) as published:
            assert await anext(published) is None
        assert await model.apply(batch(strings={LICENSE: b"1"})) is None
        assert await model.take_over(0, 0, 1, {"dk": b"sealed"}) is None
        await model.put("origin", b"2")
        assert await model.hold("lock", "me", 1000)
        await model.release("lock", "me")
        assert len(await model.level([LevelMark(partition=0, end=1, at_ms=5)])) == 1
        assert await model.time_ms() > 0
        assert await model.get([LICENSE, "origin"]) == [b"1", b"2"]
        # What the API asks of it: values, the clock, a sorted set.
        assert await link.read([LICENSE]) == [b"1"]
        assert (await link.survey([NAMES.head]))[0] > 0
        assert await link.members({"none": ("-", "+")}) == [[]]
    finally:
        await link.close()


WRITES: tuple[tuple[str, ...], ...] = (
    ("SET", "k", "v"),
    ("DEL", "k"),
    ("EVAL", "return redis.call('SET', 'k', 'v')", "0"),
    ("PUBLISH", "c", "m"),
)
HARM: tuple[tuple[str, ...], ...] = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"),
    ("ACL", "LIST"),
    ("KEYS", "*"),
    ("SHUTDOWN",),
    ("CLIENT", "KILL", "TYPE", "normal"),
)


def test_the_api_cannot_write_and_a_projector_cannot_destroy(
    secure_redis: RedisServer, secured: Security
) -> None:
    with Redis.from_url(url(secure_redis, secured, "api")) as api:
        for command in (*WRITES, *HARM):
            with pytest.raises(NoPermissionError):
                api.execute_command(*command)
    with Redis.from_url(url(secure_redis, secured, "projector")) as projector:
        for command in HARM:
            with pytest.raises(NoPermissionError):
                projector.execute_command(*command)
        with pytest.raises(ResponseError, match=r"(can.t run this command|permission)"):
            projector.execute_command("EVAL", "return redis.call('FLUSHALL')", "0")


@pytest.mark.parametrize("began_plain", [False, True])
async def test_what_was_written_is_there_after_a_restart(
    secured: Security,
    tmp_path: Path,
    began_plain: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    server = RedisServer(tmp_path, security=None if began_plain else secured)
    await asyncio.to_thread(server.start)
    try:
        address = server.url if began_plain else url(server, secured, "projector")
        before = RedisReadModel(address)
        assert await before.apply(batch(strings={LICENSE: b"1"})) is None
        await before.close()
        await asyncio.to_thread(server.stop)

        server = RedisServer(tmp_path, security=secured)
        await asyncio.to_thread(server.start)
        after = RedisReadModel(url(server, secured, "projector"))
        assert await after.get([LICENSE, keys.serving(3)]) == [b"1", b"1"]
        await after.close()
    finally:
        await asyncio.to_thread(server.kill)


def test_nobody_comes_in_without_a_user(secure_redis: RedisServer, secured: Security) -> None:
    ca = str(secured.certificates.ca)
    with (
        Redis.from_url(secure_redis.url, ssl_ca_certs=ca) as nobody,
        pytest.raises(AuthenticationError),
    ):
        nobody.ping()
    plain = secure_redis.url.replace("rediss:", "redis:")
    with Redis.from_url(plain, socket_timeout=LIMIT_S) as client, pytest.raises(Refused):
        client.ping()


async def told(address: str) -> str:
    """What both users of Redis in our processes say of an address, each in bounded time."""
    model, link = RedisReadModel(address), Link(address)
    try:
        # Until they agree: a server that starts says another thing a moment later, and a busy
        # machine may miss the time that each gives a connection, the API 0.15 s.
        async with asyncio.timeout(LIMIT_S):
            while True:
                with pytest.raises(ReadModelUnavailableError) as refused:
                    await model.get(["k"])
                with pytest.raises(Away) as away:
                    await link.read(["k"])
                if str(away.value) == str(refused.value) and TIMED_OUT not in str(away.value):
                    return str(away.value)
    finally:
        await model.close()
        await link.close()


async def test_each_wrong_way_is_told_in_words(
    secure_redis: RedisServer, secured: Security, strangers: Security, tmp_path: Path
) -> None:
    (tmp_path / "wrong").write_text("hunter2")
    wrong = url(secure_redis, secured, "api", LEDGER_REDIS_PASSWORD_FILE=str(tmp_path / "wrong"))
    said = await told(wrong)
    assert "LEDGER_REDIS_PASSWORD_FILE" in said
    assert "hunter2" not in said
    other_ca = str(strangers.certificates.ca)
    said = await told(url(secure_redis, secured, "api", LEDGER_REDIS_CA_FILE=other_ca))
    assert "certificate is not trusted" in said
    assert "LEDGER_REDIS_CA_FILE" in said
    said = await told(secure_redis.url.replace("rediss:", "redis:"))
    assert "rediss://" in said


async def test_an_expired_certificate_is_told(
    expired: Certificates, secured: Security, tmp_path: Path
) -> None:
    outdated = Security(certificates=expired, passwords=secured.passwords)
    server = RedisServer(tmp_path, security=outdated)
    server.start(wait=False)
    try:
        deadline = time.monotonic() + 20
        while "expired" not in (said := await told(url(server, outdated, "api"))):
            assert time.monotonic() < deadline, said
            await asyncio.sleep(0.1)
        assert "certificate is not trusted" in said
    finally:
        await asyncio.to_thread(server.kill)
