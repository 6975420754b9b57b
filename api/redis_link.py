"""One worker's connections to one replica's Redis: coalesced reads, its clock, its publications.

Nothing here waits long: a Redis that is stopped costs 0.15 s, once, and its error text names no
key and no value.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.ending import end
from projector.read_model.connection import connection_class
from projector.read_model.redis import reason

TIMEOUT_S: Final = 0.15
POOL_TIMEOUT_S: Final = 0.1
CONNECTIONS_MAX: Final = 16
CALL_TIMEOUT_S: Final = 2 * TIMEOUT_S + POOL_TIMEOUT_S
READS_IN_FLIGHT_MAX: Final = 4
READ_KEYS_MAX: Final = 1024
LISTEN_S: Final = 1.0
_TROUBLE: Final = (RedisError, OSError, TimeoutError)


class Away(Exception):
    """The replica did not answer in time, or not with what it was asked for."""


class Link:
    """A replica behind a Redis URL, as a worker uses it."""

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            connection_class=connection_class(url),
            max_connections=CONNECTIONS_MAX,
            timeout=POOL_TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis: Any = Redis(connection_pool=self._pool)  # its types lack half of it
        self._asked: list[_Read] = []
        self._in_flight: set[asyncio.Task[None]] = set()
        self._due = False

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of `names`; one MGET for all who ask in the same turn of the loop.

        Raises `Away`.
        """
        loop = asyncio.get_running_loop()
        read = _Read(names, loop.create_future())
        self._asked.append(read)
        if not self._due and len(self._in_flight) < READS_IN_FLIGHT_MAX:
            self._due = True
            loop.call_soon(self._send)
        return await read.values

    async def survey(self, names: Sequence[str]) -> tuple[int, float, list[bytes | None]]:
        """Replica's clock, the monotonic time at which it was so, and values. Raises `Away`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.execute_command("TIME")
        pipeline.execute_command("MGET", *names)
        started = time.monotonic()
        (seconds, microseconds), values = await _bounded(pipeline.execute())
        at = (started + time.monotonic()) / 2
        return int(seconds) * 1000 + int(microseconds) // 1000, at, values

    async def members(self, ranges: Mapping[str, tuple[str, str]]) -> list[list[bytes]]:
        """Members of sorted sets between two bounds (ZRANGEBYLEX), one pipeline. Raises `Away`."""
        commands = [("ZRANGEBYLEX", key, low, high) for key, (low, high) in ranges.items()]
        return await self.ask(commands)

    async def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Replies to commands, in one pipeline. Raises `Away`."""
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return cast("list[Any]", await _bounded(pipeline.execute()))

    async def publications(
        self, channels: Sequence[str]
    ) -> AsyncGenerator[tuple[bytes, bytes] | None, None]:
        """Messages of the channels as (channel, message), first None once all are subscribed.

        Raises `Away` when the connection is lost: what was published meanwhile is lost too.
        """
        subscription = self._redis.pubsub()
        confirmed = 0
        try:
            await _bounded(subscription.subscribe(*channels))
            while True:
                message = await subscription.get_message(timeout=LISTEN_S)
                if message is None:
                    continue
                if message["type"] == "message":
                    yield message["channel"], message["data"]
                elif message["type"] == "subscribe":
                    confirmed += 1
                    if confirmed % len(channels) == 0:
                        yield None
        except _TROUBLE as error:
            raise Away(reason(error)) from None
        finally:
            with suppress(*_TROUBLE):
                await _bounded(subscription.aclose())

    async def close(self) -> None:
        """End all connections."""
        await end(self._in_flight)
        with suppress(*_TROUBLE):
            await _bounded(self._redis.aclose())
            await _bounded(self._pool.disconnect())

    def _send(self) -> None:
        """Ask for what has gathered."""
        self._due = False
        batch: list[_Read] = []
        names = 0
        while self._asked and names < READ_KEYS_MAX:
            read = self._asked.pop(0)
            if not read.values.done():
                names += len(read.names)
                batch.append(read)
        if batch:
            task = asyncio.create_task(self._fetch(batch))
            self._in_flight.add(task)
            task.add_done_callback(self._fetched)

    async def _fetch(self, batch: Sequence[_Read]) -> None:
        names = [name for read in batch for name in read.names]
        try:
            values = await _bounded(self._redis.execute_command("MGET", *names))
        except Away as away:
            # Whoever waits behind would only wait for the same.
            waiting, self._asked = self._asked, []
            for read in (*batch, *waiting):
                read.fail(away)
            return
        at = 0
        for read in batch:
            end = at + len(read.names)
            if not read.values.done():
                read.values.set_result(values[at:end])
            at = end

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._asked and not self._due:
            self._send()


class _Read:
    """Keys that somebody asked for."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[str], values: asyncio.Future[list[bytes | None]]) -> None:
        self.names = names
        self.values = values

    def fail(self, away: Away) -> None:
        if not self.values.done():
            self.values.set_exception(Away(*away.args))


async def _bounded(call: Any) -> Any:  # noqa: ANN401 - a reply of Redis
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await call
    except _TROUBLE as error:
        raise Away(reason(error)) from None
