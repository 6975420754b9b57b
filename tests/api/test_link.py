"""The link to a Redis: whoever reads is answered or told that it is away, whatever went wrong."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from api.redis_link import CALL_TIMEOUT_S, Link
from api.redis_reads import IN_FLIGHT_MAX, KEYS_MAX, TIMEOUT_S
from projector.read_model.wire import Away
from tests.servers import RedisServer

MANY = 3 * KEYS_MAX
LIMIT_S = 10 * 3 * TIMEOUT_S


@pytest.fixture
async def link(redis_server: RedisServer) -> AsyncIterator[Link]:
    made = Link(redis_server.url)
    yield made
    await made.close()


async def told(link: Link, times: int = MANY) -> list[list[bytes | None] | BaseException]:
    """What so many are told who read at once, each in bounded time."""
    async with asyncio.timeout(LIMIT_S):
        return await asyncio.gather(
            *(link.read([f"k{number}", "same"]) for number in range(times)),
            return_exceptions=True,
        )


async def test_each_gets_what_it_asked_for(link: Link, redis_server: RedisServer) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        await redis.flushall()
        await redis.mset({f"k{number}": number for number in range(0, MANY, 2)})
        await redis.set("same", "s")
    for number, values in enumerate(await told(link)):
        assert values == [None if number % 2 else str(number).encode(), b"s"]


async def test_a_redis_that_stops_costs_one_wait_and_all_are_told(
    link: Link, redis_server: RedisServer
) -> None:
    assert await link.read(["absent"]) == [None]
    await asyncio.to_thread(redis_server.freeze)
    try:
        started = time.monotonic()
        assert all(isinstance(each, Away) for each in await told(link))
        assert time.monotonic() - started < LIMIT_S
    finally:
        await asyncio.to_thread(redis_server.thaw)
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                assert await link.read(["absent"]) == [None]
                return
            except Away:
                await asyncio.sleep(0.01)


async def test_what_is_no_value_is_a_replica_away_in_words(
    link: Link, redis_server: RedisServer
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        await redis.config_set("maxmemory", "1")
        try:
            # Of a server that has no memory left a read is still answered.
            assert await link.read(["absent"]) == [None]
        finally:
            await redis.config_set("maxmemory", "0")
        allow: Any = redis.execute_command  # has no types
        await allow("ACL", "SETUSER", "default", "-mget")
        try:
            away = await told(link, 3)
        finally:
            await allow("ACL", "SETUSER", "default", "+mget")
    assert {str(each) for each in away} == {
        "it refuses this user what it needs (docs/operations/security.md, Redis)"
    }
    assert await link.read(["absent"]) == [None]


async def test_nobody_waits_for_ever_for_a_reason_that_can_t_be_found(
    link: Link, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await link.read(["absent"]) == [None]
    async with Redis.from_url(redis_server.url) as redis:
        allow: Any = redis.execute_command  # has no types
        await allow("ACL", "SETUSER", "default", "-mget")
        try:
            with monkeypatch.context() as patch:

                async def broken(*_: object) -> None:
                    raise ValueError("a mistake of ours")

                patch.setattr(link._redis, "execute_command", broken)  # noqa: SLF001
                assert all(isinstance(each, Away) for each in await told(link, 3))
        finally:
            await allow("ACL", "SETUSER", "default", "+mget")
    assert await link.read(["absent"]) == [None]


Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[Link]:
    """A link to a server that is no Redis."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        made = Link(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        yield made
        await made.close()


@pytest.mark.parametrize("answer", [b"", b"+OK\r\n", b"what?\r\n", b"*1\r\n$-1\r\n" * 9])
async def test_nobody_waits_for_ever_whatever_is_answered(answer: bytes) -> None:
    async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with answering(answered) as link:
        # Whoever is told nothing of use is told that it is away.
        assert all(isinstance(each, Away) for each in await told(link, 3 * IN_FLIGHT_MAX))


async def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    link = Link(f"redis://127.0.0.1:{port}/0")
    assert all(isinstance(each, Away) for each in await told(link, 3))
    await link.close()


async def test_a_subscription_that_is_never_confirmed_is_given_up(
    link: Link, redis_server: RedisServer
) -> None:
    redis_server.freeze()
    try:
        async with (
            asyncio.timeout(10 * CALL_TIMEOUT_S),
            aclosing(link.publications(["positions"])) as publications,
        ):
            with pytest.raises(Away):
                await anext(publications)
    finally:
        redis_server.thaw()
