"""One idempotent Kafka producer for as long as it can be trusted, then thrown away whole.

An idempotent producer stores what it was given in order, or nothing of it from some record on. So
after the first append without an acknowledgement the producer is condemned: what was never handed
to a socket is refused, the rest has no known outcome, and nothing of it is sent any more. It is
never stopped in order, since that flushes, and flushing waits for a broker that may be frozen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from ledger.connections import KafkaBrokers
from ledger.event_log.clients import Starts, abort
from ledger.event_log.port import (
    APPEND_TIMEOUT_S,
    READ_TIMEOUT_S,
    VALUE_BYTES_MAX,
    Appended,
    AppendRefused,
    AppendUnknown,
    Headers,
    MissingTopic,
    Topic,
    Topics,
)

START_TIMEOUT_S: Final = 5.0
_DISPOSE_TIMEOUT_S: Final = 3.0
_POLL_S: Final = 0.02
_REQUEST_BYTES_MAX: Final = 2 * VALUE_BYTES_MAX
_BATCH_BYTES_MAX: Final = 512 * 1024
"""Below the brokers' limit, 1 MiB. A full batch makes callers wait: with aiokafka's 16 KiB a few
hundred appends in flight would take more fsyncs than their second has time for."""
_REFUSED: Final = "the broker can't be reached; nothing was sent"
_UNKNOWN: Final = "the broker did not acknowledge in time; it may have stored the record"


class Producer:
    """A started producer, until `condemned`."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, known: frozenset[Topic]) -> None:
        self._producer = producer
        self._topics = topics
        self._known = known
        self._disposal: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, brokers: KafkaBrokers, topics: Topics, starts: Starts) -> Producer:
        """Connect, in `START_TIMEOUT_S` at most; raises `KafkaError`, `TimeoutError`, `OSError`."""
        producer = AIOKafkaProducer(
            **brokers.arguments(),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES_MAX,
            max_request_size=_REQUEST_BYTES_MAX,
            request_timeout_ms=int(2 * APPEND_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            await starts.start(producer, partial(dispose, producer))
            try:
                known = await _topics_there(producer, topics)
            except BaseException:
                await dispose(producer)
                raise
        return cls(producer, topics, known)

    @property
    def condemned(self) -> bool:
        """Whether it takes nothing any more."""
        return self._disposal is not None

    async def send(
        self, topic: Topic, partition: int, *, key: bytes, value: bytes | None, headers: Headers
    ) -> asyncio.Future[RecordMetadata]:
        """Queue one record, waiting for room; cancelled while it waits, nothing was queued.

        Raises AppendRefused, MissingTopic.
        """
        name = self._topics.name(topic)
        if topic not in self._known:
            await self._look_again()
        if partition not in (self._producer.client.cluster.partitions_for_topic(name) or ()):
            msg = f"{name} has no partition {partition}; `ledger init` makes the topics"
            raise MissingTopic(msg)
        try:
            stored: asyncio.Future[RecordMetadata] = await self._producer.send(
                name, key=key, value=value, partition=partition, headers=list(headers)
            )
        except KafkaError:
            # It never came into the queue: the producer was condemned, or has failed.
            self.condemn()
            raise AppendRefused(_REFUSED) from None
        return stored

    async def outcome(self, stored: asyncio.Future[RecordMetadata], deadline: float) -> Appended:
        """Wait for a queued record's acknowledgement, until the deadline of the loop's clock.

        The first failure condemns the producer. Raises AppendRefused, AppendUnknown.
        """
        await asyncio.wait((stored,), timeout=deadline - asyncio.get_running_loop().time())
        if not stored.done() or (stored.exception() is not None and not self.condemned):
            self.condemn(failed=stored)
        return _outcome(stored)

    async def _look_again(self) -> None:
        """Learn which topics are there by now; a missing one must never be asked for."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                self._known = await _topics_there(self._producer, self._topics)
        except (TimeoutError, KafkaError):
            raise AppendRefused(_REFUSED) from None

    def condemn(self, *, failed: asyncio.Future[RecordMetadata] | None = None) -> None:
        """Give every waiting append its outcome, now, and let nothing further out."""
        if self._disposal is not None:
            return
        accumulator = self._producer._message_accumulator  # noqa: SLF001 - no public way to discard a queue
        queued = [batch for batches in accumulator._batches.values() for batch in batches]  # noqa: SLF001
        accumulator._batches.clear()  # noqa: SLF001
        # Whoever still waits for room is refused, and nothing more is taken to a socket.
        accumulator._closed = True  # noqa: SLF001
        sender = self._producer._sender.sender_task  # noqa: SLF001
        if sender is not None:
            sender.cancel()
        unsent = [batch for batch in queued if batch.retry_count == 0]
        _settle(unsent, AppendRefused(_REFUSED))
        sent = [batch for batch in queued if batch.retry_count]
        _settle([*sent, *accumulator._pending_batches], AppendUnknown(_UNKNOWN))  # noqa: SLF001
        if failed is not None and not failed.done():
            failed.set_exception(AppendUnknown(_UNKNOWN))
        self._disposal = asyncio.create_task(dispose(self._producer))

    async def disposed(self) -> None:
        """Wait until its sockets are closed; bounded."""
        if self._disposal is not None:
            await self._disposal


async def _topics_there(producer: AIOKafkaProducer, topics: Topics) -> frozenset[Topic]:
    """Have the metadata of the topics that exist, so that no append has to wait for it."""
    there = (await producer.client.fetch_all_metadata()).topics()
    known = frozenset(topic for topic in Topic if topics.name(topic) in there)
    for topic in known:
        await producer.partitions_for(topics.name(topic))
    return known


def _outcome(stored: asyncio.Future[RecordMetadata]) -> Appended:
    error = stored.exception()
    if isinstance(error, (AppendRefused, AppendUnknown)):
        raise type(error)(*error.args)
    if error is not None:
        raise AppendUnknown(_UNKNOWN)
    at = stored.result()
    if at.offset is None or at.offset < 0:
        # A duplicate whose place the broker no longer tells is stored, but nobody knows where.
        raise AppendUnknown(_UNKNOWN)
    return Appended(partition=at.partition, offset=at.offset, timestamp_ms=at.timestamp)


def _settle(batches: Iterable[object], error: Exception) -> None:
    """Give each record of the batches its outcome."""
    for batch in batches:
        for future, _ in batch._msg_futures:  # type: ignore[attr-defined]  # noqa: SLF001
            if not future.done():
                future.set_exception(error)
                future.exception()


async def dispose(producer: AIOKafkaProducer) -> None:
    """Close the sockets without a flush; bounded, and quiet about what is lost anyway."""
    producer._closed = True  # noqa: SLF001 - it is closed here, past its own flushing way
    sender, client = producer._sender.sender_task, producer.client  # noqa: SLF001
    if sender is not None:
        sender.cancel()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_DISPOSE_TIMEOUT_S):
            abort(client)
            await client.close()
            while sender is not None and not sender.done():
                # Its requests wait for metadata that nobody will bring any more.
                metadata = client._md_update_fut  # noqa: SLF001
                if metadata is not None and not metadata.done():
                    metadata.set_result(False)
                await asyncio.wait((sender,), timeout=_POLL_S)
