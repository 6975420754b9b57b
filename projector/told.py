"""What is told of a batch: counted for the metrics, and an alarm where a person has to look."""

from __future__ import annotations

import logging
import time
from typing import Final

from projector.folding import Notes
from projector.logs import alarm
from projector.metrics import Metrics

TOLD_MAX: Final = 10
"""Lines of one kind that one batch writes."""
CLOCKS_EVERY_S: Final = 60.0

_log: Final = logging.getLogger(__name__)


class Told:
    """Tells of one partition's batches."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._clocks_after = 0.0

    def tell(self, partition: int | str, notes: Notes) -> None:
        """Count what the batch did, and raise its alarms."""
        metrics = self._metrics
        metrics.events.inc(notes.events)
        metrics.duplicates.inc(notes.duplicates)
        metrics.set_aside.inc(notes.set_aside)
        metrics.poison.inc(len(notes.poison))
        metrics.unroutable.inc(len(notes.unroutable))
        metrics.calendar_apart.inc(notes.calendar_apart)
        if notes.poison:
            metrics.frozen.labels(str(partition)).inc(len(notes.poison))
        for license_, offset in notes.poison[:TOLD_MAX]:
            alarm(
                _log,
                "poison-record",
                "a record can't be folded, its license is frozen",
                partition=partition,
                offset=offset,
                license=license_,
                with_others=len(notes.poison) - 1,
            )
        if notes.unroutable:
            alarm(
                _log,
                "unroutable-record",
                "records' keys are no license ids of their partition",
                partition=partition,
                offsets=notes.unroutable[:TOLD_MAX],
                records=len(notes.unroutable),
            )
        if notes.calendar_apart:
            self._tell_clocks(partition, notes.calendar_apart)

    def _tell_clocks(self, partition: int | str, events: int) -> None:
        now = time.monotonic()
        if now < self._clocks_after:
            return
        self._clocks_after = now + CLOCKS_EVERY_S
        alarm(
            _log,
            "clocks-apart",
            "events' times are more than 60 s from the broker's",
            partition=partition,
            events=events,
        )
