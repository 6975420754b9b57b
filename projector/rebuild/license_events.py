"""The log of licenses, as whoever folds a partition anew reads it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from projector.reading import LogRecord


class LicenseEvents:
    """Records of license-events as the client has them: of millions no other form is made."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log

    def messages(
        self, partition: int, *, start: int = 0, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Records [start, stop) of a partition, in runs."""
        return self._log.messages(Topic.LICENSE_EVENTS, partition, start=start, stop=stop)
