"""One set of connections to the brokers: requests and their answers, nothing retried or kept.

The only file that knows aiokafka from inside (hence the narrow bound on its version). Its
producer can't be used: it doesn't tell what was handed to a socket, a batch that expires breaks it
for good, and it can be stopped only by flushing. A connection or a decoder says neither too much
nor too little, so the log is built on those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import CorruptRecordException, KafkaError, NoError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from ledger.event_log.port import Record

T = TypeVar("T")

TROUBLE: Final = (KafkaError, OSError, TimeoutError, KeyError)
"""What a request raises where the network or a broker fails it.

KeyError: aiokafka looks up the connection that it means to close, after it was replaced.
"""

_ALL_IN_SYNC: Final = -1
_NO_TRANSACTION: Final = None
_INT32_MAX: Final = 2**31 - 1
_LATEST: Final = -1
_FETCH_WAIT_MS: Final = 100
_FETCH_BYTES: Final = 4 * 1024 * 1024
_RETRY_BACKOFF_MS: Final = 50
_METADATA_MAX_AGE_MS: Final = 60_000
_ABORT_TIMEOUT_S: Final = 1.0


class Place(NamedTuple):
    """A partition of a topic, by the topic's name in Kafka."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerId:
    """Who the brokers take an idempotent producer for."""

    id: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a broker said for one partition. `offset`: of the first record, or the end."""

    error: type[KafkaError] | None
    offset: int
    timestamp_ms: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Records from an offset on; `next_offset` passes those that compaction took away."""

    error: type[KafkaError] | None
    records: Sequence[Record]
    next_offset: int


class Wire:
    """Connections to the brokers of one cluster, and who leads which partition."""

    def __init__(self, bootstrap: str, names: Iterable[str], *, request_timeout_s: float) -> None:
        self._names = frozenset(names)
        self._request_timeout_ms = int(request_timeout_s * 1000)
        self._client = AIOKafkaClient(
            bootstrap_servers=bootstrap,
            client_id="ledger",
            request_timeout_ms=self._request_timeout_ms,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        )

    async def open(self) -> None:
        """Connect and learn who leads. Raises one of TROUBLE; then, too, it wants `abort`."""
        await self._client.bootstrap()
        if not await self._client.set_topics(self._names):
            raise KafkaError("no broker told who leads the partitions")

    def partitions(self, topic: str) -> frozenset[int]:
        """Return the topic's partitions; none where it isn't there."""
        return frozenset(self._client.cluster.partitions_for_topic(topic) or ())

    def leader(self, place: Place) -> int | None:
        """Return the broker that leads the partition, None where none is known."""
        leader: int | None = self._client.cluster.leader_for_partition(TopicPartition(*place))
        return None if leader is None or leader < 0 else leader

    async def refresh(self) -> bool:
        """Ask anew who leads; False when no broker told within the request's time."""
        try:
            async with asyncio.timeout(self._request_timeout_ms / 1000):
                return bool(await self._client.force_metadata_update())
        except TimeoutError:
            return False

    async def ready(self, node: int) -> bool:
        """Connect to the broker unless that is done; False when it can't be reached."""
        return bool(await self._client.ready(node))

    async def producer_id(self) -> ProducerId:
        """Get a fresh identity for an idempotent producer. Raises one of TROUBLE.

        A broker that has just started asks for a moment's patience, without end if it must.
        """
        request = InitProducerIdRequest(_NO_TRANSACTION, _INT32_MAX)
        while True:
            answer = await self._client.send(self._client.get_random_node(), request)
            error = _error(answer.error_code)
            if error is None:
                return ProducerId(id=answer.producer_id, epoch=answer.producer_epoch)
            if not error.retriable:
                raise error
            await asyncio.sleep(_RETRY_BACKOFF_MS / 1000)

    async def produce(self, node: int, batches: Mapping[Place, bytes]) -> dict[Place, Answer]:
        """Hand the batches to the broker's socket, in the running task's very next step.

        Where the broker was `ready` in this step. Raises one of TROUBLE; then nothing is known.
        """
        request = ProduceRequest(
            transactional_id=_NO_TRANSACTION,
            required_acks=_ALL_IN_SYNC,
            timeout=self._request_timeout_ms,
            topics=_by_topic((place, (place.partition, data)) for place, data in batches.items()),
        )
        answer = await self._client.send(node, request)
        return {
            Place(topic, partition): Answer(error=_error(code), offset=offset, timestamp_ms=time)
            for topic, partitions in answer.topics
            for partition, code, offset, time, *_ in partitions
        }

    async def ends(self, node: int, places: Iterable[Place]) -> dict[Place, Answer]:
        """Ask the broker for the ends of partitions that it leads. Raises one of TROUBLE."""
        topics = _by_topic((place, (place.partition, _LATEST)) for place in places)
        answer = await self._client.send(node, OffsetRequest(-1, 0, topics))
        return {
            Place(topic, partition): Answer(error=_error(code), offset=offset)
            for topic, partitions in answer.topics
            for partition, code, _, offset, *_ in partitions
        }

    async def fetch(self, node: int, place: Place, offset: int) -> Fetched:
        """Ask for records from the offset on, waiting a little. Raises one of TROUBLE."""
        topics = [(place.topic, [(place.partition, offset, _FETCH_BYTES)])]
        request = FetchRequest(_FETCH_WAIT_MS, 1, _FETCH_BYTES, 0, topics)
        answer = await self._client.send(node, request)
        [(_, [(_, code, _, *_, data)])] = answer.topics
        error = _error(code)
        if error is not None:
            return Fetched(error=error, records=(), next_offset=offset)
        return _decode(place.partition, offset, data)

    async def abort(self) -> None:
        """Drop all connections at once; what a socket was not given yet is never sent."""
        # aiokafka closes politely: it would flush first, to a frozen broker for ever.
        for connection in list(self._client._conns.values()):  # noqa: SLF001 - see above
            writer = connection._writer  # noqa: SLF001 - see above
            if writer is not None:
                writer.transport.abort()
        with suppress(*TROUBLE):
            async with asyncio.timeout(_ABORT_TIMEOUT_S):
                await self._client.close()


def _error(code: int) -> type[KafkaError] | None:
    error: type[KafkaError] = for_code(code)
    return None if error is NoError else error


def _by_topic(entries: Iterable[tuple[Place, T]]) -> list[tuple[str, list[T]]]:
    found: dict[str, list[T]] = {}
    for place, entry in entries:
        found.setdefault(place.topic, []).append(entry)
    return list(found.items())


def _decode(partition: int, offset: int, data: bytes) -> Fetched:
    """Decode the batches; the first may begin before the offset, the last may be cut off."""
    records: list[Record] = []
    next_offset = offset
    batches = MemoryRecords(data or b"")
    while batches.has_next():
        batch = batches.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"partition {partition}, offset {batch.base_offset}")
        if not batch.is_control_batch:
            records += [
                Record(
                    partition=partition,
                    offset=record.offset,
                    timestamp_ms=record.timestamp,
                    key=record.key,
                    value=record.value,
                    headers=tuple(record.headers),
                )
                for record in batch
                if record.offset >= offset
            ]
        next_offset = max(next_offset, batch.next_offset)
    return Fetched(error=None, records=records, next_offset=next_offset)
