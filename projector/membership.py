"""Who projects which partitions: a consumer group of Kafka, with a static member for each slot.

The group says who, the store says how far: committed offsets are written for dashboards only.
Partitions of all topics with one number go to one member, the catalog's with the first ones.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
)

from ledger.connections import KafkaBrokers, brokers
from ledger.event_log.clients import stop_consumer, why_refused
from projector.feeding import Feed, OpenSession, new_consumer
from projector.logs import say
from projector.metrics import Metrics
from projector.session import Session

SESSION_MS: Final = 6_000
HEARTBEAT_MS: Final = 1_000
_DAY_MS: Final = 24 * 3600 * 1000
_START_TIMEOUT_S: Final = 30.0
_COMMIT_EVERY_S: Final = 5.0
_COMMIT_TIMEOUT_S: Final = 2.0
_RETRY_FIRST_S: Final = 0.5
_RETRY_LAST_S: Final = 5.0
_LOST_MAX: Final = 12
_LOST_SPREAD: Final = 12
"""Of two that swing, one ends well before the other: each bears some losses more, by chance."""
_LOST_WITHIN_S: Final = 60.0

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
        open_session: OpenSession,
        metrics: Metrics,
    ) -> None:
        self._brokers = brokers(kafka)
        self._group = group
        self._member = member
        self._topics = list(topics)
        self._metrics = metrics
        self._feed = Feed(open_session, metrics)
        self._consumer: AIOKafkaConsumer | None = None
        self._listener: _Listener | None = None
        most = _LOST_MAX + random.randrange(_LOST_SPREAD)  # noqa: S311 - who ends is nobody's secret
        self._lost: deque[float] = deque(maxlen=most)
        self.joined = False

    @property
    def sessions(self) -> list[Session]:
        """Sessions of all partitions assigned now."""
        return self._feed.sessions

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
            offsets = self._feed.positions
            if self._consumer is None or not offsets:
                continue
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                    await self._consumer.commit(offsets)

    async def revoked(self) -> None:
        """End all sessions: what is theirs to keep at hand ends with the assignment."""
        if self.sessions:
            self._metrics.rebalances.inc()
            self._note_loss()
        await self._feed.end()

    async def assigned(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """Open a session for each partition."""
        await self._feed.end()
        self.joined = True
        partitions = sorted({place.partition for place in places})
        say(_log, logging.INFO, "partitions assigned", partitions=partitions)
        self._feed.open(consumer, places)

    def _new_consumer(self) -> AIOKafkaConsumer:
        consumer = new_consumer(
            self._brokers,
            client_id=self._member,
            group_id=self._group,
            group_instance_id=self._member,
            partition_assignment_strategy=[_assignor_of(self._topics), RangePartitionAssignor],
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            # The store may be away for hours; the heartbeat tells whether this process lives.
            max_poll_interval_ms=_DAY_MS,
        )
        self._consumer = consumer
        self._listener = _Listener(self, consumer)
        consumer.subscribe(self._topics, listener=self._listener)
        return consumer

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            self._stop_at_swinging()
            await self._feed.poll(consumer)

    def _note_loss(self) -> None:
        self._lost.append(time.monotonic())

    def _stop_at_swinging(self) -> None:
        lost, most = len(self._lost), self._lost.maxlen
        if lost == most and time.monotonic() - self._lost[0] < _LOST_WITHIN_S:
            raise AssignmentSwingsError(
                f"the assignment was lost {most} times within {_LOST_WITHIN_S:.0f} s: another "
                f"process is the member {self._member} too"
            )

    async def _leave(self, consumer: AIOKafkaConsumer) -> None:
        """Close the consumer; a static member's partitions stay its own until its session ends."""
        self.joined = False
        if self._listener is not None:
            self._listener.active = False
        if self.sessions:
            self._note_loss()
        await self._feed.end()
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
