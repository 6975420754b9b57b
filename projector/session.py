"""A session: one partition of one topic while it is assigned to this process.

Records come in by `offer`, in whole runs; the session works them off in a task of its own and says
by the cursor where it wants to go on reading.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ledger.event_log.port import LogUnavailable
from projector.logs import alarm, say
from projector.metrics import Metrics
from projector.read_model.port import ReadModelCorruptError, ReadModelUnavailableError
from projector.reading import LogRecord

RETRY_FIRST_S: Final = 0.05
RETRY_LAST_S: Final = 2.0

_log: Final = logging.getLogger(__name__)


class Cursor(Protocol):
    """Where the consumer goes on reading one partition."""

    def seek(self, offset: int) -> None:
        """Read on from `offset`; what was read ahead is dropped."""

    def pause(self) -> None:
        """Read no more of it."""


class Stopped(Exception):
    """The partition can't be projected any further; `reason` is its heading in the runbook."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Session(ABC):
    """Inbox, task and fate of one assigned partition.

    `label`: the partition as metrics name it. `position`: the next offset that the store is to
    get, None while that isn't known. `stopped`: why it is projected no more, None while it is.
    `ended`: it is somebody else's.
    """

    topic: str

    def __init__(
        self, partition: int, cursor: Cursor, metrics: Metrics, *, label: str | None = None
    ) -> None:
        self.partition = partition
        self.label = label or str(partition)
        self.position: int | None = None
        self.stopped: str | None = None
        self.queued = 0
        self._cursor = cursor
        self._metrics = metrics
        self._inbox: deque[Sequence[LogRecord]] = deque()
        self._news = asyncio.Event()
        self.ended = False
        self._doubted = False
        self._reached = 0
        self._retry_s = RETRY_FIRST_S
        metrics.stopped.labels(self.label).set(0)

    def offer(self, records: Sequence[LogRecord]) -> None:
        """Take records in, in order."""
        if self.stopped is None and not self.ended:
            self._inbox.append(records)
            self.queued += len(records)
            self._news.set()

    def end(self) -> None:
        """Stop after the call under way: the partition is somebody else's."""
        self.ended = True
        self._news.set()

    def doubt(self) -> None:
        """Look where the store stands before the next batch: it isn't where it was."""
        self._doubted = True
        self._news.set()

    def out_of_range(self, offset: int) -> None:
        """The log has no such offset: it is stopped if that is where it wanted to read."""
        if self.position is not None and offset in self._wanted():
            self.stop("log-replaced", f"the log has no offset {offset}, which was folded before")

    def stop(self, reason: str, text: str) -> None:
        """Project no more of this partition; checks go on from what is stored, with its age."""
        self.stopped = reason
        self._clear()
        self._cursor.pause()
        self._metrics.stopped.labels(self.label).set(1)
        alarm(_log, reason, text, partition=self.partition, topic=self.topic)

    async def run(self, progress: Callable[[], None]) -> None:
        """Work off what is offered until ended or stopped; `progress` is called after each run.

        Returns in order; what it raises (memory, I/O) ends the process.
        """
        while not self.ended and self.stopped is None:
            try:
                if self.position is None or self._doubted:
                    await self._locate()
                elif self._inbox or self.has_errand():
                    if self.has_errand():
                        await self._errand()
                    if self._inbox and not self._doubted:
                        await self._work_off()
                else:
                    self._news.clear()
                    await self._news.wait()
                self._retry_s = RETRY_FIRST_S
            except (ReadModelUnavailableError, LogUnavailable) as error:
                await self._retry_later(error)
            except ReadModelCorruptError as error:
                self.stop("read-model-corrupt", str(error))
            except Stopped as stopped:
                self.stop(stopped.reason, str(stopped))
            progress()

    @abstractmethod
    async def _stored_position(self) -> int:
        """Read where the store stands, and drop all that was kept at hand."""

    @abstractmethod
    async def _work(self, records: Sequence[LogRecord]) -> None:
        """Bring the store further by these records."""

    def has_errand(self) -> bool:
        """Whether there is something to do beside what the log brings."""
        return False

    async def _errand(self) -> None:  # noqa: B027 - most have none
        """Do some of that, between two runs of records."""

    def _wanted(self) -> tuple[int, ...]:
        """Offsets that it may have asked the log for."""
        return (self.position or 0,)

    def _start_reading(self, position: int) -> None:
        self._cursor.seek(position)

    def _relocate(self) -> None:
        """Forget where the store stands, but for how far it was once."""
        self._reached = max(self._reached, self.position or 0)
        self.position = None
        self._clear()

    async def _locate(self) -> None:
        self._doubted = False
        self._relocate()
        position = await self._stored_position()
        before = self._reached
        if position < before:
            self._metrics.went_back.inc()
            say(
                _log,
                logging.WARNING,
                "the replica went back",
                partition=self.partition,
                topic=self.topic,
                was=before,
                now=position,
            )
        self._clear()
        self.position = self._reached = position
        self._start_reading(position)

    async def _work_off(self) -> None:
        records = self._inbox.popleft()
        self.queued -= len(records)
        await self._work(records)

    async def _retry_later(self, error: Exception) -> None:
        """After any error what was sent may have been written or not: look, then go on."""
        self._metrics.trouble.inc()
        if self._retry_s == RETRY_FIRST_S:
            say(
                _log,
                logging.WARNING,
                f"a call failed: {error}",
                partition=self.partition,
                topic=self.topic,
            )
        self._doubted = True
        await asyncio.sleep(self._retry_s)
        self._retry_s = min(self._retry_s * 2, RETRY_LAST_S)

    def _clear(self) -> None:
        self._inbox.clear()
        self.queued = 0
