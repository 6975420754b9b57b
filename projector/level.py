"""Level: when, on the replica's own clock, it last had folded to the log's end.

First the replica's time is read, then the log's ends; whatever stands there then was folded by
that time. Never the client's `highwater()`: that is the last fetch's, and lies while one stalls.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ledger.event_log.port import EventLog, LogError, MissingTopic, Topic
from projector.data_keys import DataKeyCopy
from projector.fold_session import FoldSession
from projector.logs import alarm, say
from projector.metrics import Metrics
from projector.read_model.keys import CATALOG
from projector.read_model.port import LevelMark, ReadModel, ReadModelError, Standing
from projector.session import Session

EVERY_S: Final = 0.25
ALARM_S: Final = 5.0
"""What is away for so long is a person's business."""
SHORT_S: Final = 2.0
"""A log that ends before what was folded is another one, if it still does after this time."""

_log: Final = logging.getLogger(__name__)


class LevelWatch:
    """Looks every 250 ms where the log ends and where the replica stands.

    `sessions`: those of the partitions assigned now.
    """

    def __init__(
        self,
        model: ReadModel,
        log: EventLog,
        sessions: Callable[[], Sequence[Session]],
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._ends = log.ends
        self._sessions = sessions
        self._metrics = metrics
        self._short_since: dict[int, float] = {}
        self._failing_since: float | None = None
        self._told = False

    async def run(self) -> None:
        """Go on until cancelled, whatever is away."""
        while True:
            started = time.monotonic()
            try:
                await self._look()
                self._failing_since, self._told = None, False
            except (LogError, ReadModelError) as error:
                self._tell(error)
            await asyncio.sleep(max(0.0, started + EVERY_S - time.monotonic()))

    def _tell(self, error: Exception) -> None:
        """Say at once that something is away, and raise the alarm when it stays so."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            say(_log, logging.WARNING, f"level can't be told: {error}")
        name = "log-missing" if isinstance(error, MissingTopic) else "not-level"
        if not self._told and now - self._failing_since >= ALARM_S:
            self._told = True
            alarm(_log, name, f"for {ALARM_S:.0f} s: {error}")

    async def _look(self) -> None:
        at_ms = await self._model.time_ms()
        sessions = self._sessions()
        ends = await self._ends_of(sessions)
        folds: list[tuple[FoldSession, int]] = []
        copies: dict[int, tuple[DataKeyCopy, int]] = {}
        for session in sessions:
            position = session.position
            if position is None:
                continue
            if isinstance(session, FoldSession) and session.sure and session.place in ends:
                folds.append((session, position))
            elif isinstance(session, DataKeyCopy) and session.stopped is None:
                copies[session.partition] = (session, position)
        marks = [
            LevelMark(
                partition=fold.place,
                generation=fold.generation,
                end=ends[fold.place],
                at_ms=at_ms,
            )
            for fold, position in folds
            if self._reaches(fold, position, ends)
        ]
        by_place = {fold.place: (fold, position) for fold, position in folds}
        for mark, standing in zip(marks, await self._model.level(marks), strict=True):
            self._compare(mark, standing, *by_place[mark.partition])
            copy, position = copies.get(mark.partition, (None, 0))
            if copy is not None and standing.data_keys < position:
                copy.doubt()

    async def _ends_of(self, sessions: Sequence[Session]) -> dict[int, int]:
        """Where the log ends, by place; of the catalog where it is folded here."""
        ends = dict(await self._ends(Topic.LICENSE_EVENTS))
        if any(
            isinstance(session, FoldSession) and session.place == CATALOG for session in sessions
        ):
            ends[CATALOG] = (await self._ends(Topic.CATALOG_EVENTS))[0]
        return ends

    def _reaches(self, fold: FoldSession, position: int, ends: Mapping[int, int]) -> bool:
        """Whether the log reaches to where it was folded; if it doesn't for long, stop there."""
        end = ends[fold.place]
        if end >= position:
            self._short_since.pop(fold.place, None)
            return True
        now = time.monotonic()
        if now - self._short_since.setdefault(fold.place, now) > SHORT_S:
            del self._short_since[fold.place]
            fold.stop("log-replaced", f"the log ends at {end}, but {position} was folded before")
        return False

    def _compare(
        self, mark: LevelMark, standing: Standing, fold: FoldSession, position: int
    ) -> None:
        if fold.ended:
            return
        label = fold.label
        self._metrics.lag.labels(label).set(mark.end - standing.position)
        age_ms = max(0, mark.at_ms - standing.level_at_ms)
        self._metrics.level_age.labels(label).set(age_ms / 1000)
        if standing.position < position or fold.folds_another(standing.serving):
            fold.doubt()
        elif standing.position < mark.end:
            fold.pend(mark)
