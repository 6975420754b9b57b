"""The live projector: follows the log and keeps one replica's read model level with it.

One process a slot of a replica. It waits for what it needs, takes its slot's lock, joins the
replica's consumer group, and folds what it is assigned until it is told to stop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from ledger.event_log.port import FOLDED, ForeignLog, LogError, TimedLog, Topic, Topics
from projector.capacity.watch import CapacityWatch
from projector.catalog_projection import CatalogProjection
from projector.data_keys import DataKeyCopy
from projector.discards import Discards
from projector.fold_session import FoldSession, Pick
from projector.keeping import Keeper
from projector.level import LevelWatch
from projector.logs import say
from projector.membership import Membership
from projector.metrics import Metrics
from projector.origin import Origin
from projector.projection import Projection
from projector.quarantine_watch import QuarantineWatch
from projector.read_model.port import ReadModel, ReadModelError
from projector.reading import Reader
from projector.rebuild.following import Following
from projector.session import Cursor, Session
from projector.settings import LOCAL, ProjectorSettings
from projector.slot import SlotLock
from projector.views.digests import weigher

START_LIMIT_S: Final = 60.0
_TRY_S: Final = 0.2
_CLOSE_S: Final = 0.5

_log: Final = logging.getLogger(__name__)


class NotReadyError(Exception):
    """What the projector needs at its start isn't there; the text says what."""


class Projector:
    """All parts of one projector process."""

    def __init__(
        self, settings: ProjectorSettings, model: ReadModel, log: TimedLog, metrics: Metrics
    ) -> None:
        shared = settings.shared
        topics = Topics(prefix=shared.topic_prefix)
        self._is_copy = settings.replica == LOCAL
        self._brokers = shared.kafka
        self._names = topics
        self._topics = {topics.name(topic): topic for topic in FOLDED}
        self._partitions = shared.partitions
        self._model = model
        self._events_log = log
        self._metrics = metrics
        self._origin = Origin(log, model, shared)
        self._weigher = weigher(shared.pepper)
        self._slot = SlotLock(model, settings.member)
        self._membership = Membership(
            kafka=shared.kafka,
            group=settings.group,
            member=settings.member,
            topics=self._topics,
            open_session=self._open_session,
            metrics=metrics,
        )
        self._keeper = Keeper(model, settings.url, lambda: self._membership.sessions, self._follow)
        self._level = LevelWatch(model, log, lambda: self._membership.sessions, metrics)
        self._discards = Discards(log)
        self._quarantine = QuarantineWatch(model, self._discards, lambda: self._membership.sessions)
        self._capacity = CapacityWatch(settings, log, metrics.registry)
        self._stage = "starting"

    def missing(self) -> str | None:
        """What keeps it from being ready; None when all that is assigned is folded."""
        if self._stage != "running":
            return self._stage
        if not self._membership.joined:
            return "no partitions assigned yet"
        stopped = [session for session in self._membership.sessions if session.stopped]
        if stopped:
            return f"{len(stopped)} partitions are stopped"
        unsure = [
            session
            for session in self._membership.sessions
            if session.position is None or (isinstance(session, FoldSession) and not session.sure)
        ]
        return f"{len(unsure)} partitions are not located yet" if unsure else None

    async def run(self) -> None:
        """Project until cancelled.

        Raises `NotReadyError`, `ForeignLog`, `SlotTakenError`, `AssignmentSwingsError`; and what
        no partition alone is to blame for (memory, I/O).
        """
        self._stage = "waiting for Kafka and Redis"
        await asyncio.gather(
            _there("Redis", self._model.time_ms),
            _there("Kafka's topics", lambda: self._events_log.ends(Topic.LICENSE_EVENTS)),
        )
        await _there("the log's beginning", self._origin.compare_all)
        self._stage = "waiting for the slot"
        await self._slot.take()
        try:
            self._stage = "running"
            say(_log, logging.INFO, "projecting")
            await _together(
                self._slot.keep(),
                self._membership.run(),
                self._membership.commit_now_and_then(),
                self._level.run(),
                self._quarantine.run(),
                self._capacity.run(),
                *(() if self._is_copy else (self._keeper.run(),)),
            )
        finally:
            self._stage = "stopping"
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._slot.give_back()

    def _follow(self, pick: Pick, places: Sequence[int]) -> Following:
        return Following(
            kafka=self._brokers,
            log=self._events_log,
            topics=self._names,
            model=self._model,
            weigher=self._weigher,
            partitions=self._partitions,
            pick=pick,
            places=places,
            begins=False,
        )

    def _open_session(self, name: str, partition: int, cursor: Cursor) -> Session:
        if self._topics[name] is Topic.LICENSE_DATA_KEYS:
            return DataKeyCopy(partition, cursor, self._metrics, self._model, self._partitions)
        if self._topics[name] is Topic.CATALOG_EVENTS:
            return CatalogProjection(
                cursor, self._metrics, self._model, self._origin.compare, self._weigher
            )
        reader = Reader(partition, self._partitions)
        return Projection(
            partition,
            cursor,
            self._metrics,
            self._model,
            reader,
            self._origin.compare,
            self._weigher,
            discards=self._discards,
        )


async def _there(what: str, look: Callable[[], Awaitable[object]]) -> None:
    """Wait until `look` succeeds, at most 60 s; say so once."""
    deadline = time.monotonic() + START_LIMIT_S
    said = False
    while True:
        try:
            await look()
            return
        except ForeignLog:
            raise
        except (LogError, ReadModelError) as error:
            if time.monotonic() > deadline:
                raise NotReadyError(f"{what}: {error} (waited {START_LIMIT_S:.0f} s)") from None
            if not said:
                say(_log, logging.INFO, f"waiting up to {START_LIMIT_S:.0f} s for {what}: {error}")
            said = True
        await asyncio.sleep(_TRY_S)


async def _together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all parts until the first fails, then end the others; raise what it raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=2.0)
