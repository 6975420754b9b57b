"""One worker's connections to one replica's Redis: reads, its clock, lists, publications.

Nothing here waits long: a Redis that is stopped costs a read 0.15 s, once, and a list a second. An
error's text names no key and no value.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from hiredis import ReplyError
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from api.redis_reads import Reads
from projector.read_model.asked import Values
from projector.read_model.connection import connection_class
from projector.read_model.reasons import reason
from projector.read_model.wire import (
    ENDED,
    NO_ANSWER,
    Away,
    RefusedError,
    Subscription,
    packed,
    wire_to,
)

TIMEOUT_S: Final = 1.0
"""Of what isn't a read for a check. The client counts the time in which this process itself was
late, so less would take a replica for lost where the worker has too much to do."""
CONNECTIONS_MAX: Final = 16
CALL_TIMEOUT_S: Final = 3 * TIMEOUT_S
_PUBLICATION: Final = 3
"""Kind, channel, content."""
_TROUBLE: Final = (RedisError, OSError, TimeoutError, RuntimeError)
"""The last one is uvloop's, for a connection that was closed under the client's hands."""


class Link:
    """A replica behind a Redis URL, as a worker uses it."""

    def __init__(self, url: str) -> None:
        self._pool = BlockingConnectionPool.from_url(
            url,
            connection_class=connection_class(url),
            max_connections=CONNECTIONS_MAX,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._redis: Any = Redis(connection_pool=self._pool)  # its types lack half of it
        self._connection: Callable[[], Connection] = self._pool.make_connection
        self._reads = Reads(self._connection, self._read)

    def read(self, names: Sequence[str]) -> Awaitable[Values]:
        """Values of `names`; one MGET for all who ask in the same turn of the loop.

        Raises `Away`.
        """
        return self._reads.read(names)

    async def _read(self, names: Sequence[str]) -> Values:
        return cast("Values", await _bounded(self._redis.execute_command("MGET", *names)))

    async def survey(self, names: Sequence[str]) -> tuple[int, float, Values]:
        """Replica's clock, the monotonic time at which it was so, and values. Raises `Away`."""
        return await self._reads.survey(names)

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
        heard: asyncio.Queue[object] = asyncio.Queue()
        wire = await self._subscription(heard.put_nowait)
        try:
            wire.write(packed("SUBSCRIBE", *channels))
            await _bounded(_subscribed(heard, len(channels)))
            yield None
            while True:
                kind, channel, message = _publication(await heard.get())
                if kind == b"message":
                    yield channel, message
        finally:
            wire.lose(ENDED)

    async def _subscription(self, heard: Callable[[object], None]) -> Subscription:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await wire_to(
                    self._connection(), lambda greetings: Subscription(greetings, heard)
                )
        except RefusedError:
            await self._read(["greeting"])
            raise Away(NO_ANSWER) from None
        except _TROUBLE as error:
            raise Away(reason(error)) from None

    async def close(self) -> None:
        """End all connections."""
        await self._reads.close()
        with suppress(*_TROUBLE):
            await _bounded(self._redis.aclose())
            await _bounded(self._pool.disconnect())


async def _bounded(call: Any) -> Any:  # noqa: ANN401 - a reply of Redis
    try:
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await call
    except _TROUBLE as error:
        raise Away(reason(error)) from None


async def _subscribed(heard: asyncio.Queue[object], channels: int) -> None:
    """Wait until all channels are confirmed; what is published before is in the heads by then."""
    while channels:
        kind, _, _ = _publication(await heard.get())
        channels -= kind == b"subscribe"


def _publication(heard: object) -> tuple[bytes, bytes, bytes]:
    """Kind, channel and content of what a subscription has heard. Raises `Away` for an error."""
    if isinstance(heard, Away):
        raise heard
    if isinstance(heard, ReplyError):
        text = str(heard)
        raise Away(reason(NoPermissionError() if "NOPERM" in text else ResponseError(text)))
    if not isinstance(heard, list) or len(heard) != _PUBLICATION:
        raise Away(NO_ANSWER)
    return tuple(heard)
