"""Who projects which partitions: a consumer group of Kafka, with a static member for each slot.

The group says who, the store says how far: committed offsets are written for dashboards only.
Partitions of all topics with one number go to one member, the catalog's with the first ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from ledger.connections import KafkaBrokers, brokers
from ledger.event_log.clients import stop_consumer, why_refused
from projector.logs import say
from projector.metrics import Metrics
from projector.session import Cursor, Session

SESSION_MS: Final = 6_000
HEARTBEAT_MS: Final = 1_000
QUEUED_MAX: Final = 16_000
"""Records that wait in this process, all partitions together."""
POLL_RECORDS_MAX: Final = 4_000
GATHER_S: Final = 0.002
"""Between two polls that find something: what comes meanwhile shares one fetch, which names every
partition however little it brings."""
_POLL_MS: Final = 500
_FETCH_WAIT_MS: Final = 250
_FETCH_BYTES: Final = 1024 * 1024
_METADATA_MS: Final = 5_000
_DAY_MS: Final = 24 * 3600 * 1000
_START_TIMEOUT_S: Final = 30.0
_REVOKE_TIMEOUT_S: Final = 2.0
_COMMIT_EVERY_S: Final = 5.0
_COMMIT_TIMEOUT_S: Final = 2.0
_RETRY_FIRST_S: Final = 0.5
_RETRY_LAST_S: Final = 5.0
_LOST_MAX: Final = 12
_LOST_WITHIN_S: Final = 30.0

_log: Final = logging.getLogger(__name__)


def _assignor_of(topics: Sequence[str]) -> type[RangePartitionAssignor]:
    """The range assignor, under a name of its own for so many topics.

    Kafka hands a static member that comes back soon its assignment as it was, whatever it reads
    now, unless the group then agrees on an assignor of another name (KIP-345). Without that, a
    projector that was upgraded to read a further topic would never be given it.
    """
    return type("_Range", (RangePartitionAssignor,), {"name": f"range-{len(topics)}"})


class AssignmentSwingsError(Exception):
    """The assignment is lost again and again: another process uses this member id."""


class Membership:
    """One static member of a replica's consumer group, and the sessions of its partitions.

    `open_session`: makes the session of an assigned partition: (topic, partition, cursor).
    """

    def __init__(
        self,
        *,
        kafka: KafkaBrokers | str,
        group: str,
        member: str,
        topics: Iterable[str],
        open_session: Callable[[str, int, Cursor], Session],
        metrics: Metrics,
    ) -> None:
        self._brokers = brokers(kafka)
        self._group = group
        self._member = member
        self._topics = list(topics)
        self._open_session = open_session
        self._metrics = metrics
        self._consumer: AIOKafkaConsumer | None = None
        self._listener: _Listener | None = None
        self._sessions: dict[TopicPartition, Session] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._failed: asyncio.Queue[BaseException] = asyncio.Queue()
        self._lost: deque[float] = deque(maxlen=_LOST_MAX)
        self.joined = False

    @property
    def sessions(self) -> list[Session]:
        """Sessions of all partitions assigned now."""
        return list(self._sessions.values())

    async def run(self) -> None:
        """Be a member until cancelled; while Kafka is away, try again.

        Raises `AssignmentSwingsError`, and whatever a session's task raised.
        """
        retry_s = _RETRY_FIRST_S
        while True:
            trouble: Exception | None = None
            consumer = self._new_consumer()
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await consumer.start()
                retry_s = _RETRY_FIRST_S
                await self._poll(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                trouble = error
            finally:
                await self._leave(consumer)
            await self._say(trouble)
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, _RETRY_LAST_S)

    async def _say(self, trouble: Exception | None) -> None:
        """Log why Kafka fails: what its client says, or what refuses it."""
        refused = isinstance(trouble, KafkaConnectionError) and await why_refused(self._brokers)
        reason = refused or type(trouble).__name__
        say(_log, logging.WARNING, "Kafka fails, joining anew", error=reason)

    async def commit_now_and_then(self) -> None:
        """Tell Kafka's dashboards how far the folds are; nothing ever starts from there."""
        while True:
            await asyncio.sleep(_COMMIT_EVERY_S)
            offsets = {
                place: session.position
                for place, session in self._sessions.items()
                if session.position is not None
            }
            if self._consumer is None or not offsets:
                continue
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                    await self._consumer.commit(offsets)

    async def revoked(self) -> None:
        """End all sessions: what is theirs to keep at hand ends with the assignment."""
        if self._sessions:
            self._metrics.rebalances.inc()
            self._note_loss()
        await self._end_sessions()

    async def assigned(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """Open a session for each partition."""
        await self._end_sessions()
        self.joined = True
        partitions = sorted({place.partition for place in places})
        say(_log, logging.INFO, "partitions assigned", partitions=partitions)
        for place in places:
            session = self._open_session(place.topic, place.partition, _Cursor(consumer, place))
            self._sessions[place] = session
            task = asyncio.create_task(session.run(self._progress.set))
            task.add_done_callback(self._note_end)
            self._tasks[place] = task

    def _new_consumer(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._brokers.arguments(),
            client_id=self._member,
            group_id=self._group,
            group_instance_id=self._member,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=[_assignor_of(self._topics), RangePartitionAssignor],
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            # The store may be away for hours; the heartbeat tells whether this process lives.
            max_poll_interval_ms=_DAY_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=_FETCH_BYTES,
            request_timeout_ms=SESSION_MS,
            # A topic that was deleted and made anew is found soon, and recognized as another one.
            metadata_max_age_ms=_METADATA_MS,
        )
        self._consumer = consumer
        self._listener = _Listener(self, consumer)
        consumer.subscribe(self._topics, listener=self._listener)
        return consumer

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            await self._room()
            if not self._failed.empty():
                raise self._failed.get_nowait()
            self._stop_at_swinging()
            try:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=POLL_RECORDS_MAX)
            except OffsetOutOfRangeError as error:
                self._out_of_range(error)
                continue
            except NoOffsetForPartitionError:
                # The client asks for committed offsets before a session has said where it stands.
                await asyncio.sleep(0.01)
                continue
            for place, records in found.items():
                session = self._sessions.get(place)
                if session is not None:
                    session.offer(records)
            if found:
                await asyncio.sleep(GATHER_S)

    async def _room(self) -> None:
        """Wait until fewer records than the limit are in hand."""
        while sum(session.queued for session in self._sessions.values()) >= QUEUED_MAX:
            self._progress.clear()
            if not self._failed.empty():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._progress.wait()

    def _out_of_range(self, error: OffsetOutOfRangeError) -> None:
        offsets: dict[TopicPartition, int] = error.args[0] if error.args else {}
        for place, offset in offsets.items():
            session = self._sessions.get(place)
            if session is not None:
                session.out_of_range(offset)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.put_nowait(error)
            self._progress.set()

    def _note_loss(self) -> None:
        self._lost.append(time.monotonic())

    def _stop_at_swinging(self) -> None:
        if len(self._lost) == _LOST_MAX and time.monotonic() - self._lost[0] < _LOST_WITHIN_S:
            raise AssignmentSwingsError(
                f"the assignment was lost {_LOST_MAX} times within {_LOST_WITHIN_S:.0f} s: another "
                f"process is the member {self._member} too"
            )

    async def _end_sessions(self) -> None:
        """End all sessions, each after the call that it is in."""
        tasks, sessions = list(self._tasks.values()), list(self._sessions.values())
        self._sessions.clear()
        self._tasks.clear()
        for session in sessions:
            session.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_REVOKE_TIMEOUT_S)
            for task in late:
                task.cancel()
        for session in sessions:
            self._metrics.forget(session.label)

    async def _leave(self, consumer: AIOKafkaConsumer) -> None:
        """Close the consumer; a static member's partitions stay its own until its session ends."""
        self.joined = False
        if self._listener is not None:
            self._listener.active = False
        if self._sessions:
            self._note_loss()
        await self._end_sessions()
        await stop_consumer(consumer)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc] # it comes without types
    """Hears of one consumer's assignments, until that consumer is given up: it may end late."""

    def __init__(self, membership: Membership, consumer: AIOKafkaConsumer) -> None:
        self.active = True
        self._membership = membership
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - the client names it
        """All partitions, at each rebalance."""
        if self.active:
            await self._membership.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """All partitions that it has now."""
        if self.active:
            await self._membership.assigned(self._consumer, assigned)


class _Cursor:
    """Where the consumer reads one partition; without effect once it is assigned elsewhere."""

    def __init__(self, consumer: AIOKafkaConsumer, place: TopicPartition) -> None:
        self._consumer = consumer
        self._place = place

    def seek(self, offset: int) -> None:
        """Read on from `offset`; what was read ahead is dropped."""
        with suppress(IllegalStateError, AssertionError):
            self._consumer.seek(self._place, offset)

    def pause(self) -> None:
        """Read no more of it."""
        with suppress(IllegalStateError, AssertionError):
            self._consumer.pause(self._place)
