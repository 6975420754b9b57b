"""Folding a generation on by the live fold's own code, without being anybody's group member."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from ledger.connections import KafkaBrokers
from ledger.event_log.clients import Starts, stop_consumer
from ledger.event_log.port import EventLog, Topic, Topics
from projector.catalog_projection import CatalogProjection
from projector.discards import Discards
from projector.feeding import Feed, new_consumer
from projector.fold_session import FoldSession, Pick
from projector.level import LevelWatch
from projector.logs import say
from projector.metrics import Metrics
from projector.projection import Projection
from projector.quarantine_watch import QuarantineWatch
from projector.read_model.keys import CATALOG
from projector.read_model.port import ReadModel
from projector.reading import Reader
from projector.session import Cursor, Session
from projector.views.digests import Weigher

_START_TIMEOUT_S: Final = 30.0
_RETRY_S: Final = 0.5

_log: Final = logging.getLogger(__name__)


class Following:
    """Keeps a generation of some places (partitions, and `CATALOG`) level with the log.

    `pick`: which one, of the one that serves. It folds between `start` and `stop`. `begins`: also
    where nothing of it is stored; else it was deleted, and stays so.
    """

    def __init__(  # noqa: PLR0913 - where from, where to, and what of
        self,
        *,
        kafka: KafkaBrokers,
        log: EventLog,
        topics: Topics,
        model: ReadModel,
        weigher: Weigher,
        partitions: int,
        pick: Pick,
        places: Sequence[int],
        begins: bool,
    ) -> None:
        self._kafka = kafka
        self._starts = Starts(kafka)
        self._topics = topics
        self._model = model
        self._weigher = weigher
        self._partitions = partitions
        self._pick = pick
        self._places = places
        self._begins = begins
        self._metrics = Metrics()
        self._feed = Feed(self._open_session, self._metrics)
        self._watch = LevelWatch(model, log, lambda: self._feed.sessions, self._metrics)
        self._discards = Discards(log)
        self._quarantine = QuarantineWatch(model, self._discards, lambda: self._feed.sessions)
        self._task: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> list[FoldSession]:
        """Sessions of all places."""
        return [one for one in self._feed.sessions if isinstance(one, FoldSession)]

    @property
    def stopped(self) -> dict[int, str]:
        """Why places can't be folded on, by place."""
        return {one.place: one.stopped for one in self.sessions if one.stopped is not None}

    @property
    def started(self) -> bool:
        """Whether it folds, or has ended by itself."""
        return self._task is not None

    def start(self) -> None:
        """Begin to fold, in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Fold no more; what was begun is written, or nothing of it. Raises what made it end."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self._starts.close()

    def check(self) -> None:
        """Raise what has made it end, if it has."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._quarantine.run())
            tasks.create_task(self._read())

    async def _read(self) -> None:
        while True:
            consumer = new_consumer(self._kafka, group_id=None)
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    await self._starts.start(consumer, partial(stop_consumer, consumer))
                await self._follow(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                say(_log, logging.WARNING, "Kafka fails, reading anew", error=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        """Fold what it reads, until it fails."""
        try:
            places = [self._topic_partition(place) for place in self._places]
            consumer.assign(places)
            self._feed.open(consumer, places)
            while True:
                await self._feed.poll(consumer)
        finally:
            await self._feed.end()
            await stop_consumer(consumer)

    def _topic_partition(self, place: int) -> TopicPartition:
        if place == CATALOG:
            return TopicPartition(self._topics.name(Topic.CATALOG_EVENTS), 0)
        return TopicPartition(self._topics.name(Topic.LICENSE_EVENTS), place)

    def _open_session(self, name: str, partition: int, cursor: Cursor) -> Session:
        session = self._new_session(name, partition, cursor)
        session.begins = self._begins
        return session

    def _new_session(self, name: str, partition: int, cursor: Cursor) -> FoldSession:
        if name == self._topics.name(Topic.CATALOG_EVENTS):
            return CatalogProjection(
                cursor, self._metrics, self._model, _compared, self._weigher, self._pick
            )
        return Projection(
            partition,
            cursor,
            self._metrics,
            self._model,
            Reader(partition, self._partitions),
            _compared,
            self._weigher,
            self._pick,
            discards=self._discards,
        )


async def _compared(place: int) -> None:
    """Whether the log is this ledger's was found out before anything was folded."""
    del place
