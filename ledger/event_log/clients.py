"""Starting and stopping aiokafka's clients in bounded time, without leaving a socket behind.

Cancelled while it asks for its first metadata, a client of aiokafka 0.14 leaves that connection
open. So a start that nobody waits for any more is not cancelled: it comes to its own end, which
the client's request timeout bounds, and the client is disposed of then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient

_STOP_TIMEOUT_S: Final = 1.0
_LEFT_TIMEOUT_S: Final = 3.0


class Starts:
    """Starts clients, and sees those to their end that were given up meanwhile."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[None]] = set()

    async def start(
        self,
        client: AIOKafkaConsumer | AIOKafkaProducer,
        dispose: Callable[[], Awaitable[None]],
    ) -> None:
        """Start a client; if that fails, or the caller is cancelled, it is disposed of."""
        starting = asyncio.create_task(client.start())
        try:
            await asyncio.shield(starting)
        except BaseException:
            leaving = asyncio.create_task(_leave(starting, dispose))
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)
            raise

    async def close(self) -> None:
        """Wait for the starts that were given up; bounded."""
        if self._left:
            await asyncio.wait(self._left)


async def _leave(starting: asyncio.Task[None], dispose: Callable[[], Awaitable[None]]) -> None:
    await asyncio.wait((starting,), timeout=_LEFT_TIMEOUT_S)
    starting.cancel()
    await asyncio.wait((starting,))
    if not starting.cancelled():
        starting.exception()
    await dispose()


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer without a group; what does not stop in time is cut off."""
    client = consumer._client  # noqa: SLF001 - no public way to its connections
    for stopping in (consumer.stop, client.close):
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await stopping()
                return
        abort(client)


def abort(client: AIOKafkaClient) -> None:
    """Cut a client's connections: closing them politely flushes, to a frozen broker too."""
    for connection in client._conns.values():  # noqa: SLF001
        if connection._writer is not None:  # noqa: SLF001
            connection._writer.transport.abort()  # noqa: SLF001
