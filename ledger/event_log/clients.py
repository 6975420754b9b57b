"""Starting and stopping aiokafka's clients in bounded time, without leaving a socket behind.

aiokafka says that no broker can be reached, and to its log only why. Where TLS or a password is to
blame people must be told: then one more connection finds out (`why_refused`).

Cancelled while it asks for its first metadata, a client of aiokafka 0.14 leaves that connection
open. So a start that nobody waits for any more is not cancelled: it comes to its own end, which
the client's request timeout bounds, and the client is disposed of then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from ledger.connections import KafkaBrokers, tls_trouble

_ASK_TIMEOUT_S: Final = 2.0
_POLITE_S: Final = 0.05
_STOP_TIMEOUT_S: Final = 1.0
_LEFT_TIMEOUT_S: Final = 3.0


class BrokersRefuse(KafkaConnectionError):  # type: ignore[misc] # it comes without types
    """A broker is there and takes no connection of ours; the text says why, without a secret."""


class Starts:
    """Starts clients, and sees those to their end that were given up meanwhile."""

    def __init__(self, brokers: KafkaBrokers) -> None:
        self._brokers = brokers
        self._left: set[asyncio.Task[None]] = set()

    async def start(
        self,
        client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient,
        dispose: Callable[[], Awaitable[None]],
    ) -> None:
        """Start a client; if that fails, or the caller is cancelled, it is disposed of.

        Raises `BrokersRefuse` where TLS or credentials are to blame, else what the client raises.
        """
        starting = asyncio.create_task(client.start())
        try:
            await asyncio.shield(starting)
        except BaseException as error:
            leaving = asyncio.create_task(_leave(starting, dispose))
            self._left.add(leaving)
            leaving.add_done_callback(self._left.discard)
            if isinstance(error, KafkaConnectionError):
                await raise_refused(self._brokers)
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


async def raise_refused(brokers: KafkaBrokers) -> None:
    """Raise `BrokersRefuse` if a broker takes no connection for TLS or credentials; bounded."""
    reason = await why_refused(brokers)
    if reason is not None:
        raise BrokersRefuse(reason) from None


async def why_refused(brokers: KafkaBrokers) -> str | None:
    """Why a broker takes no connection of ours; None where it does, or isn't there."""
    for address in brokers.bootstrap.split(","):
        reason = await _why_refused(brokers, address)
        if reason is not None:
            return f"{address}: {reason}"
    return None


async def _why_refused(brokers: KafkaBrokers, address: str) -> str | None:
    try:
        async with asyncio.timeout(_ASK_TIMEOUT_S), connected(brokers, address):
            return None
    except (KafkaError, OSError, TimeoutError) as error:
        return _reason(brokers, error)


@contextlib.asynccontextmanager
async def connected(brokers: KafkaBrokers, address: str) -> AsyncIterator[AIOKafkaConnection]:
    """One connection to one broker, closed to its end; raises what connecting raises."""
    host, _, port = address.rpartition(":")
    arguments = brokers.arguments()
    del arguments["bootstrap_servers"]
    connection = AIOKafkaConnection(host.strip("[]"), int(port), **arguments)
    try:
        await connection.connect()
        yield connection
    finally:
        closed = connection.close()
        if connection._protocol is not None:  # noqa: SLF001 - else there never was a socket
            await asyncio.wait((closed,), timeout=_STOP_TIMEOUT_S)


def _reason(brokers: KafkaBrokers, error: Exception) -> str | None:
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"it refuses the user {brokers.user!r} or the password (LEDGER_KAFKA_USER, "
            "LEDGER_KAFKA_PASSWORD_FILE)"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not know {brokers.mechanism} (LEDGER_KAFKA_MECHANISM)"
    trouble = tls_trouble(error)
    if trouble is not None:
        return f"{trouble} (LEDGER_KAFKA_SECURITY, LEDGER_KAFKA_CA_FILE)"
    if isinstance(error, (ConnectionRefusedError, TimeoutError)):
        return None
    if isinstance(error, (KafkaConnectionError, ConnectionError)):
        # What it closes unread it may have expected in another form; a dead one refuses at once.
        return (
            f"it closes a connection of LEDGER_KAFKA_SECURITY={brokers.security}: does it want "
            "another one (SASL_SSL, SSL)?"
        )
    return None


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; what does not stop at once is cut off: there is nothing to flush.

    A broker that holds a fetch back reads no farewell of TLS until it has answered. The consumer
    is never cancelled while it stops: that would cancel what the connections themselves wait
    for, and whoever closes one of them later.
    """
    client = consumer._client  # noqa: SLF001 - no public way to its connections
    transports = list(_transports(client))
    for step in (consumer.stop, client.close):
        stopping = asyncio.create_task(_quietly(step))
        try:
            await asyncio.wait((stopping,), timeout=_POLITE_S)
        finally:
            if not stopping.done():
                for transport in transports:
                    transport.abort()
        await asyncio.wait((stopping,), timeout=_STOP_TIMEOUT_S)
        # A consumer that has only just started cancels its own stop.
        if stopping.done() and not stopping.cancelled():
            return
        stopping.cancel()


async def _quietly(step: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(Exception):
        await step()


def abort(client: AIOKafkaClient) -> None:
    """Cut a client's connections: closing them politely flushes, to a frozen broker too."""
    for transport in _transports(client):
        transport.abort()


def _transports(client: AIOKafkaClient) -> Iterator[asyncio.WriteTransport]:
    """What the client's connections write to; a closed one has none any more."""
    for connection in client._conns.values():  # noqa: SLF001
        if connection._writer is not None:  # noqa: SLF001
            yield connection._writer.transport  # noqa: SLF001
