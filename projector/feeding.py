"""Feeding sessions: what a consumer reads goes to the session of its partition, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from ledger.connections import KafkaBrokers
from projector.metrics import Metrics
from projector.session import Cursor, Session

QUEUED_MAX: Final = 16_000
"""Records that wait in this process, all partitions together."""
POLL_RECORDS_MAX: Final = 4_000
GATHER_S: Final = 0.002
"""Between two polls that find something: what comes meanwhile shares one fetch, which names every
partition however little it brings."""
REQUEST_MS: Final = 6_000
_POLL_MS: Final = 500
_FETCH_WAIT_MS: Final = 250
_FETCH_BYTES: Final = 1024 * 1024
_METADATA_MS: Final = 5_000
_END_TIMEOUT_S: Final = 2.0

OpenSession = Callable[[str, int, Cursor], Session]
"""Makes the session of a partition: (topic, partition, cursor)."""


def new_consumer(brokers: KafkaBrokers, **more: object) -> AIOKafkaConsumer:
    """Make a consumer that starts where it is told and commits nothing by itself."""
    return AIOKafkaConsumer(
        **brokers.arguments(),
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
        request_timeout_ms=REQUEST_MS,
        # A topic that was deleted and made anew is found soon, and recognized as another one.
        metadata_max_age_ms=_METADATA_MS,
        **more,
    )


class Feed:
    """The sessions of the partitions that one consumer reads, and their tasks."""

    def __init__(self, open_session: OpenSession, metrics: Metrics) -> None:
        self._open_session = open_session
        self._metrics = metrics
        self._sessions: dict[TopicPartition, Session] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()
        self._failed: asyncio.Queue[BaseException] = asyncio.Queue()

    @property
    def sessions(self) -> list[Session]:
        """Sessions of all partitions that are read now."""
        return list(self._sessions.values())

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of each session that knows where its store stands."""
        return {
            place: session.position
            for place, session in self._sessions.items()
            if session.position is not None
        }

    def open(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        """Open a session for each partition."""
        for place in places:
            session = self._open_session(place.topic, place.partition, _Cursor(consumer, place))
            self._sessions[place] = session
            task = asyncio.create_task(session.run(self._progress.set))
            task.add_done_callback(self._note_end)
            self._tasks[place] = task

    async def end(self) -> None:
        """End all sessions, each after the call that it is in."""
        tasks, sessions = list(self._tasks.values()), list(self._sessions.values())
        self._sessions.clear()
        self._tasks.clear()
        for session in sessions:
            session.end()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_END_TIMEOUT_S)
            for task in late:
                task.cancel()
        for session in sessions:
            self._metrics.forget(session.label)

    async def poll(self, consumer: AIOKafkaConsumer) -> None:
        """Read once, as soon as there is room. Raises what a session's task raised."""
        await self._room()
        if not self._failed.empty():
            raise self._failed.get_nowait()
        try:
            found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=POLL_RECORDS_MAX)
        except OffsetOutOfRangeError as error:
            self._out_of_range(error)
            return
        except NoOffsetForPartitionError:
            # The client asks for committed offsets before a session has said where it stands.
            await asyncio.sleep(0.01)
            return
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
