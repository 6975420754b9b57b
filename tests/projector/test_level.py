"""Level-at: the replica's clock first, then the log's ends, and only where all is sure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from ledger.event_log.port import EventLog, LogUnavailable, MissingTopic, Topic
from projector import level
from projector.catalog_projection import CatalogProjection
from projector.data_keys import DataKeyCopy
from projector.level import LevelWatch
from projector.metrics import Metrics
from projector.projection import Projection
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.reading import Reader
from projector.session import Session
from tests.activity import Activity, records
from tests.projector.catalog_activity import catalog_log
from tests.projector.in_memory import head_of
from tests.projector.test_projection import Broker, ended, reached
from tests.projector.weighing import WEIGHER

LOG = records(Activity(13, partitions=1, licenses=4).appendables(60))[0]


class Ends:
    """Tells the log's ends, or fails."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.error: Exception | None = None
        self.asked = 0

    async def ends(self, topic: Topic) -> dict[int, int]:
        assert topic is Topic.LICENSE_EVENTS
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {0: self.end}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


async def _ours(partition: int) -> None:
    pass


@asynccontextmanager
async def watched(
    model: MemoryReadModel, broker: Broker, ends: Ends, *more: Session
) -> AsyncIterator[Projection]:
    """A projection and the watch over it."""
    metrics = Metrics()
    session = Projection(0, broker, metrics, model, Reader(0, 1), _ours, WEIGHER)
    broker.session = session
    sessions: Sequence[Session] = [session, *more]
    watch = LevelWatch(model, cast("EventLog", ends), lambda: sessions, metrics)
    tasks = [
        asyncio.create_task(session.run(lambda: None)),
        asyncio.create_task(watch.run()),
    ]
    try:
        yield session
    finally:
        session.end()
        tasks[1].cancel()
        await asyncio.wait(tasks, timeout=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level, "EVERY_S", 0.01)
    monkeypatch.setattr(level, "SHORT_S", 0.5)
    monkeypatch.setattr(level, "ALARM_S", 0.05)


async def _until_asked(ends: Ends, more: int = 3) -> None:
    asked = ends.asked
    async with asyncio.timeout(10):
        while ends.asked < asked + more:
            await asyncio.sleep(0.002)


async def test_level_follows_the_clock_of_the_replica_while_nothing_happens() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        await _until_asked(ends)
        first = head_of(model, 0).level_at_ms
        await _until_asked(ends)
        second = head_of(model, 0).level_at_ms
    assert 1_000_000 < first < second


async def test_no_level_before_the_end_is_reached() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG) + 5)
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        await _until_asked(ends)
        assert head_of(model, 0).level_at_ms == 0
        more = records(Activity(13, partitions=1, licenses=4).appendables(65))[0][len(LOG) :]
        session.offer(more)
        await reached(session, len(LOG) + 5)
        # The time of the look that saw this end, not of the batch.
        assert head_of(model, 0).level_at_ms > 1_000_000


async def test_no_level_of_a_stopped_partition() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        session.stop("unknown-rules", "a test")
        await asyncio.sleep(0)
        stopped_at = head_of(model, 0).level_at_ms
        await _until_asked(ends)
        assert head_of(model, 0).level_at_ms == stopped_at


async def test_a_log_that_stays_too_short_stops_the_partition() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        ends.end = 7
        assert await ended(session) == "log-replaced"


async def test_a_log_that_is_short_for_a_moment_only_goes_on() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        ends.end = 7
        await _until_asked(ends, 2)
        ends.end = len(LOG)
        await _until_asked(ends, 20)
        assert session.stopped is None


async def test_a_store_that_went_back_is_noticed_without_any_record() -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        model.strings.clear()
        model.sorted_sets.clear()
        async with asyncio.timeout(10):
            while head_of(model, 0).position < len(LOG):
                await asyncio.sleep(0.005)


async def test_data_keys_that_went_back_are_noticed_too() -> None:
    model, ends, cursor = MemoryReadModel(Clock()), Ends(len(LOG)), Broker([])
    copy = DataKeyCopy(0, cursor, Metrics(), model, 1)
    model.strings[keys.data_keys_position(0)] = b"9"
    task = asyncio.create_task(copy.run(lambda: None))
    async with watched(model, Broker(LOG), ends, copy) as session:
        await reached(session, len(LOG))
        assert cursor.sought == [9]
        model.strings[keys.data_keys_position(0)] = b"4"
        async with asyncio.timeout(10):
            while cursor.sought != [9, 4]:
                await asyncio.sleep(0.005)
        copy.end()
        await task


@pytest.mark.parametrize(
    ("error", "name"),
    [(LogUnavailable("away"), "not-level"), (MissingTopic("gone"), "log-missing")],
)
async def test_what_stays_away_is_an_alarm_once(
    error: Exception, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, ends = MemoryReadModel(Clock()), Ends(len(LOG))
    async with watched(model, Broker(LOG), ends) as session:
        await reached(session, len(LOG))
        ends.error = error
        await _until_asked(ends, 40)
        alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
        names = [getattr(record, "fields", {}).get("alarm") for record in alarms]
        assert names.count(name) == 1
        ends.error = None
        before = head_of(model, 0).level_at_ms
        await _until_asked(ends)
        assert head_of(model, 0).level_at_ms > before
    assert model.strings[Keys(0).head]


class CatalogEnds(Ends):
    """Tells the end of the catalog too, and of which topics it was asked."""

    def __init__(self, end: int, catalog: int) -> None:
        super().__init__(end)
        self.catalog = catalog
        self.topics: set[Topic] = set()

    async def ends(self, topic: Topic) -> dict[int, int]:
        self.topics.add(topic)
        if topic is Topic.CATALOG_EVENTS:
            return {0: self.catalog}
        return await super().ends(topic)


async def test_the_catalog_is_level_by_its_own_end() -> None:
    model, log = MemoryReadModel(Clock()), catalog_log(1, 30)
    ends, broker = CatalogEnds(len(LOG), len(log)), Broker(log)
    catalog = CatalogProjection(broker, Metrics(), model, _ours, WEIGHER)
    broker.session = catalog
    task = asyncio.create_task(catalog.run(lambda: None))
    async with watched(model, Broker(LOG), ends, catalog) as session:
        await reached(session, len(LOG))
        await reached(catalog, len(log))
        await _until_asked(ends)
        assert head_of(model, 0).level_at_ms > 0
        assert head_of(model, keys.CATALOG).level_at_ms > 0
        assert ends.topics == {Topic.LICENSE_EVENTS, Topic.CATALOG_EVENTS}
        ends.catalog = 5
        assert await ended(catalog) == "log-replaced"
        assert session.stopped is None
    catalog.end()
    await asyncio.wait_for(task, 5)
