"""One life of the idempotent producer: batches in order, one in flight a partition and broker.

A session ends at the first batch whose outcome stays unknown, since the brokers may or may not
count its sequence numbers; the next session has a new producer id. Within its time a batch is
sent again with the same sequence numbers, so that brokers store it once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from aiokafka import errors
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ledger.event_log.kafka.outbox import Entry, Outbox
from ledger.event_log.kafka.wire import TROUBLE, Answer, Place, ProducerId, Wire
from ledger.event_log.port import Appended, AppendRefused, AppendUnknown, MissingTopic

BATCH_BYTES_MAX: Final = 768 * 1024
"""Below the brokers' limit of a batch, 1 MiB."""
REQUEST_BATCHES_MAX: Final = 8

_BACKOFF_S: Final = 0.05
_MAGIC: Final = 2
_NO_COMPRESSION: Final = 0
_SEQUENCES: Final = 2**31

_NOT_STORED_RETRY: Final = (
    errors.UnknownTopicOrPartitionError,
    errors.LeaderNotAvailableError,
    errors.NotLeaderForPartitionError,
    errors.NotEnoughReplicasError,
)
"""The broker says that it didn't store the batch; soon it, or another one, may."""
_NOT_STORED: Final = (
    errors.CorruptRecordException,
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTopicError,
    errors.InvalidRequestError,
    errors.PolicyViolationError,
    errors.TopicAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
"""The broker says that it didn't store the batch and won't."""
_OUT_OF_SEQUENCE: Final = (
    errors.OutOfOrderSequenceNumber,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
)
"""Not stored either, but this producer id will get no further."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """Entries with sequence numbers. `unsure`: it was sent before and may be stored."""

    entries: list[Entry]
    data: bytes
    unsure: bool = False


class Session:
    """Takes entries from the outbox to the brokers until it has ended.

    Nothing is taken any more once `end` was called; `closed` waits until all is let go.
    """

    def __init__(self, wire: Wire, producer: ProducerId, outbox: Outbox) -> None:
        self._wire = wire
        self._producer = producer
        self._outbox = outbox
        self._sequences: dict[Place, int] = {}
        self._again: dict[Place, Batch] = {}
        self._busy_places: set[Place] = set()
        self._busy_nodes: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self.ended: Final[asyncio.Future[str]] = asyncio.get_running_loop().create_future()
        """Why it ended, once it has."""

    def wake(self) -> None:
        """Look for work soon; once for all that comes until then."""
        if not self._scheduled and not self.ended.done():
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def end(self, reason: str) -> None:
        """End it, now: each entry gets the outcome that is known of it."""
        if self.ended.done():
            return
        self.ended.set_result(reason)
        for task in self._tasks:
            task.cancel()
        self._outbox.give_up(reason)

    async def closed(self) -> None:
        """Wait until tasks and sockets are gone; in bounded time."""
        await self._wire.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    def _dispatch(self) -> None:
        self._scheduled = False
        if self.ended.done():
            return
        leaderless = []
        for place in self._waiting():
            node = self._wire.leader(place)
            if node is None:
                leaderless.append(place)
            elif node not in self._busy_nodes:
                self._busy_nodes.add(node)
                self._start(self._deliver(node))
        if leaderless:
            self._busy_places.update(leaderless)
            self._start(self._recover(leaderless))

    def _waiting(self) -> list[Place]:
        places = dict.fromkeys((*self._again, *self._outbox.places))
        return [place for place in places if place not in self._busy_places]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.end(f"the producer failed ({type(error).__name__})")
        self.wake()

    async def _deliver(self, node: int) -> None:
        try:
            request = await self._send(node)
        finally:
            self._busy_nodes.discard(node)
        unsettled = [place for place, settled in request.items() if not settled]
        self._busy_places.difference_update(request.keys() - unsettled)
        if unsettled:
            self._start(self._recover(unsettled))

    async def _send(self, node: int) -> dict[Place, bool]:
        """Send the broker what waits for it; return which places are settled by its answer."""
        if not await self._wire.ready(node):
            unsent = [place for place in self._waiting() if self._wire.leader(place) == node]
            self._busy_places.update(unsent)
            return dict.fromkeys(unsent, False)
        if self.ended.done():
            return {}
        # From here to the socket nothing is awaited: what is taken is handed over.
        request = self._take(node)
        answers: dict[Place, Answer] = {}
        with suppress(*TROUBLE):
            data = {place: batch.data for place, batch in request.items()}
            answers = await self._wire.produce(node, data) if data else {}
        return {
            place: self._settle(place, batch, answers.get(place))
            for place, batch in request.items()
        }

    def _take(self, node: int) -> dict[Place, Batch]:
        request: dict[Place, Batch] = {}
        for place in self._waiting():
            if len(request) == REQUEST_BATCHES_MAX:
                break
            if self._wire.leader(place) == node and (batch := self._next(place)):
                request[place] = batch
        self._busy_places |= request.keys()
        return request

    def _next(self, place: Place) -> Batch | None:
        if (batch := self._again.pop(place, None)) is not None:
            return batch
        builder = DefaultRecordBatchBuilder(
            _MAGIC,
            _NO_COMPRESSION,
            is_transactional=0,
            producer_id=self._producer.id,
            producer_epoch=self._producer.epoch,
            base_sequence=self._sequences.get(place, 0),
            batch_size=BATCH_BYTES_MAX,
        )
        # The broker puts its own time in place of this one.
        now_ms = time.time_ns() // 1_000_000
        numbers = count()

        def fits(entry: Entry) -> bool:
            headers = list(entry.headers)
            added = builder.append(
                next(numbers), now_ms, key=entry.key, value=entry.value, headers=headers
            )
            return added is not None

        entries = self._outbox.take(place, fits)
        return Batch(entries=entries, data=bytes(builder.build())) if entries else None

    def _settle(self, place: Place, batch: Batch, answer: Answer | None) -> bool:
        """Give the entries their outcome; False where the batch has to be sent (again)."""
        if answer is not None and answer.error is None:
            self._stored(place, batch, answer)
            return True
        error = None if answer is None else answer.error
        if error in _NOT_STORED_RETRY:
            if batch.unsure:
                self._again[place] = batch
            else:
                self._outbox.put_back(place, batch.entries)
            return False
        if error is not None and error in _NOT_STORED + _OUT_OF_SEQUENCE:
            self._refused(batch, error)
            if error in _OUT_OF_SEQUENCE or batch.unsure:
                self.end("the producer's sequence broke")
            return True
        batch.unsure = True
        if error is None or error.retriable:
            self._again[place] = batch
            return False
        self.end(f"the broker answered {error.__name__}")
        return True

    def _stored(self, place: Place, batch: Batch, answer: Answer) -> None:
        count = len(batch.entries)
        self._sequences[place] = (self._sequences.get(place, 0) + count) % _SEQUENCES
        for offset, entry in enumerate(batch.entries, answer.offset):
            if entry.open:
                entry.outcome.set_result(
                    Appended(
                        partition=place.partition, offset=offset, timestamp_ms=answer.timestamp_ms
                    )
                )

    def _refused(self, batch: Batch, error: type[errors.KafkaError]) -> None:
        for entry in batch.entries:
            if batch.unsure:
                entry.fail(AppendUnknown(f"the broker answered {error.__name__} at last"))
            else:
                entry.fail(AppendRefused(f"the broker answered {error.__name__}: not stored"))

    async def _recover(self, places: Iterable[Place]) -> None:
        """Learn anew who leads, then try again a little later; end when no broker answers."""
        try:
            if not await self._wire.refresh():
                self.end("no broker can be reached")
                return
            for place in places:
                if place.partition not in self._wire.partitions(place.topic):
                    missing = f"partition {place.partition} of {place.topic} is not there"
                    self._outbox.refuse(place, MissingTopic(missing))
            await asyncio.sleep(_BACKOFF_S)
        finally:
            self._busy_places.difference_update(places)
