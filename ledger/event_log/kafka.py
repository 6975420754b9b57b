"""The log in Kafka. Bounded in time whatever the broker does: stopped, dead, frozen or slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import RecordMetadata

from ledger.connections import KafkaBrokers, brokers
from ledger.event_log.clients import BrokersRefuse, Starts, stop_consumer
from ledger.event_log.port import (
    APPEND_TIMEOUT_S,
    IN_FLIGHT_MAX,
    READ_STALL_TIMEOUT_S,
    READ_TIMEOUT_S,
    Appended,
    AppendRefused,
    Headers,
    LogUnavailable,
    LostRecords,
    MissingTopic,
    Record,
    TooManyAppends,
    Topic,
    Topics,
    check_size,
    check_tombstone,
)
from ledger.event_log.producer import Producer

_BATCH_RECORDS: Final = 2_000
_FETCH_BYTES: Final = 4 * 1024 * 1024
_POLL_MS: Final = 200
_RETRY_S: Final = 0.1
_RETRY_MAX_S: Final = 1.0
_TROUBLE: Final = (KafkaError, OSError, TimeoutError)


class KafkaLog:
    """An `EventLog` in Kafka (`ledger.event_log.port`). Use it in one event loop, then `close`.

    `kafka`: how the brokers are reached; a bare `host:port,…` in clear.
    """

    def __init__(self, kafka: KafkaBrokers | str, topics: Topics | None = None) -> None:
        self._brokers = brokers(kafka)
        self._topics = topics or Topics()
        self._starts = Starts(self._brokers)
        self._producer: Producer | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._unreachable = False
        self._in_flight = 0
        self._turns: dict[tuple[Topic, int], asyncio.Lock] = {}
        self._readings: set[AIOKafkaConsumer] = set()
        self._asker: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()
        self._closed = False

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        """See `EventLog.append`."""
        check_tombstone(topic, value)
        check_size(key=key, value=value, headers=headers)
        if self._in_flight >= IN_FLIGHT_MAX:
            msg = f"{IN_FLIGHT_MAX} appends have no outcome yet; try again when some have"
            raise TooManyAppends(msg)
        self._in_flight += 1
        try:
            deadline = asyncio.get_running_loop().time() + APPEND_TIMEOUT_S
            producer, stored = await self._send(topic, partition, key, value, headers, deadline)
            return await producer.outcome(stored, deadline)
        finally:
            self._in_flight -= 1
            if self._producer is not None and self._producer.condemned and not self._closed:
                # Until a new producer is there nothing waits for it: refused at once, not queued.
                self._unreachable = True
                self._replace()

    async def _send(
        self,
        topic: Topic,
        partition: int,
        key: bytes,
        value: bytes | None,
        headers: Headers,
        deadline: float,
    ) -> tuple[Producer, asyncio.Future[RecordMetadata]]:
        """Queue a record when it is its turn: whoever came later to the partition stays behind.

        Without turns they would overtake those that wait, for a producer or for room in a batch.
        """
        turn = self._turns.setdefault((topic, partition), asyncio.Lock())
        try:
            async with asyncio.timeout_at(deadline), turn:
                producer = self._producer
                if producer is None or producer.condemned:
                    producer = await self._new_producer()
                return producer, await producer.send(
                    topic, partition, key=key, value=value, headers=headers
                )
        except TimeoutError:
            raise AppendRefused("the broker takes nothing; the record was not sent") from None

    async def ends(self, topic: Topic) -> dict[int, int]:
        """See `EventLog.ends`."""
        try:
            async with self._one_asks() as asker:
                partitions = await self._partitions(asker, topic)
                found = await asker.end_offsets(partitions)
        except _TROUBLE as error:
            msg = f"{self._brokers.named} does not tell the log's ends{_because(error)}"
            raise LogUnavailable(msg) from None
        return {one.partition: int(found[one]) for one in partitions}

    async def since(self, topic: Topic, time_ms: int) -> dict[int, int]:
        """See `TimedLog.since`."""
        try:
            async with self._one_asks() as asker:
                partitions = await self._partitions(asker, topic)
                ends = await asker.end_offsets(partitions)
                found = await asker.offsets_for_times(dict.fromkeys(partitions, time_ms))
        except _TROUBLE:
            msg = f"{self._brokers.named} does not tell where a time begins"
            raise LogUnavailable(msg) from None
        return {
            one.partition: int(ends[one] if found[one] is None else found[one].offset)
            for one in partitions
        }

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        """See `EventLog.read`."""
        async with aclosing(self.messages(topic, partition, start=start, stop=stop)) as runs:
            async for messages in runs:
                yield [_record(one) for one in messages]

    async def messages(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Any], None]:
        """As `read`, but the records as Kafka's client has them: for who reads millions."""
        end = (await self.ends(topic)).get(partition)
        if end is None:
            msg = f"{self._topics.name(topic)} has no partition {partition}"
            raise MissingTopic(msg)
        if start > end:
            raise LostRecords(
                f"{self._topics.name(topic)}, partition {partition}, ends at {end}: what was read "
                f"before {start} is gone"
            )
        end = end if stop is None else min(stop, end)
        if start >= end:
            return
        consumer = self._consumer()
        self._readings.add(consumer)
        where = TopicPartition(self._topics.name(topic), partition)
        try:
            async with asyncio.timeout(READ_STALL_TIMEOUT_S):
                await self._starts.start(consumer, partial(stop_consumer, consumer))
            consumer.assign([where])
            consumer.seek(where, start)
            async for batch in _batches(consumer, where, start, end):
                if not topic.compacted:
                    start = _contiguous(batch, start)
                yield batch
        except OffsetOutOfRangeError:
            msg = f"{where.topic}, partition {partition}: there is no record at {start} any more"
            raise LostRecords(msg) from None
        except _TROUBLE as error:
            raise LogUnavailable(
                f"{where.topic}, partition {partition}: nothing arrives from "
                f"{self._brokers.named}{_because(error)}"
            ) from None
        finally:
            self._readings.discard(consumer)
            await stop_consumer(consumer)

    async def close(self) -> None:
        """See `EventLog.close`."""
        self._closed = True
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait((self._replacing,))
        if self._producer is not None:
            self._producer.condemn()
            await self._producer.disposed()
        await self._drop_asker()
        await asyncio.gather(*(stop_consumer(consumer) for consumer in self._readings))
        await self._starts.close()

    async def _new_producer(self) -> Producer:
        """Wait for a producer that is on its way; refuse at once while no broker is in reach."""
        self._replace()
        assert self._replacing is not None  # noqa: S101 - `_replace` has set it
        if not self._unreachable:
            await asyncio.wait((self._replacing,), timeout=APPEND_TIMEOUT_S / 2)
        producer = self._producer
        if producer is None or producer.condemned:
            msg = "the broker can't be reached; nothing was sent"
            raise AppendRefused(msg)
        return producer

    def _replace(self) -> None:
        """See to it that a new producer is on its way."""
        if self._closed:
            msg = "the log is closed"
            raise AppendRefused(msg)
        if self._replacing is None or self._replacing.done():
            self._replacing = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        """Start a new producer, trying until it is there."""
        pause_s = _RETRY_S
        while self._producer is None or self._producer.condemned:
            try:
                self._producer = await Producer.start(self._brokers, self._topics, self._starts)
            except _TROUBLE:
                self._unreachable = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _RETRY_MAX_S)
        self._unreachable = False

    @asynccontextmanager
    async def _one_asks(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Give the consumer that asks for offsets to one at a time, for `READ_TIMEOUT_S` in all.

        Whom it fails drops it; not who has only waited, since another is still asking.
        """
        asking = False
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._asking:
                asking = True
                yield await self._reached_asker()
        except _TROUBLE:
            if asking:
                await self._drop_asker()
            raise

    async def _reached_asker(self) -> AIOKafkaConsumer:
        """Return the consumer that asks for offsets."""
        if self._asker is None:
            asker = self._consumer()
            await self._starts.start(asker, partial(stop_consumer, asker))
            self._asker = asker
        return self._asker

    async def _partitions(self, asker: AIOKafkaConsumer, topic: Topic) -> list[TopicPartition]:
        """Return the topic's partitions; asking for the offsets of a missing one never ends."""
        name = self._topics.name(topic)
        client = asker._client  # noqa: SLF001 - no public way to ask without a subscription
        known = client.cluster.partitions_for_topic(name)
        if known is None:
            known = (await client.fetch_all_metadata()).partitions_for_topic(name)
            if known is None:
                msg = f"{name} is not there; `ledger init` makes it"
                raise MissingTopic(msg)
            await client.add_topic(name)
        return [TopicPartition(name, partition) for partition in sorted(known)]

    async def _drop_asker(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            await stop_consumer(asker)

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._brokers.arguments(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
            request_timeout_ms=int(READ_STALL_TIMEOUT_S * 1000),
            retry_backoff_ms=50,
            fetch_max_wait_ms=_POLL_MS,
        )


def _because(error: Exception) -> str:
    """Why, where that is known."""
    return f": {error.args[0]}" if isinstance(error, BrokersRefuse) else ""


async def _batches(
    consumer: AIOKafkaConsumer, where: TopicPartition, start: int, end: int
) -> AsyncIterator[list[Any]]:
    """Yield the records of [start, end); raises TimeoutError when they stop coming."""
    loop = asyncio.get_running_loop()
    arrived = loop.time()
    while start < end:
        got = await consumer.getmany(where, timeout_ms=_POLL_MS, max_records=_BATCH_RECORDS)
        position = await consumer.position(where)
        if position > start:
            arrived, start = loop.time(), position
        elif loop.time() - arrived > READ_STALL_TIMEOUT_S:
            raise TimeoutError
        records = got.get(where, [])
        if records and records[-1].offset >= end:
            records = [one for one in records if one.offset < end]
        if records:
            yield records


def _record(message: object) -> Record:
    return Record(
        partition=message.partition,  # type: ignore[attr-defined]
        offset=message.offset,  # type: ignore[attr-defined]
        timestamp_ms=message.timestamp,  # type: ignore[attr-defined]
        key=message.key,  # type: ignore[attr-defined]
        value=message.value,  # type: ignore[attr-defined]
        headers=tuple(message.headers),  # type: ignore[attr-defined]
    )


def _contiguous(batch: Sequence[Any], start: int) -> int:
    """Return the offset after the batch; raises LostRecords where one is missing."""
    for record in batch:
        if record.offset != start:
            msg = f"partition {record.partition}: after {start - 1} comes {record.offset}"
            raise LostRecords(msg)
        start += 1
    return start
