"""What is asked of a replica and of the log while both go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from projector.read_model.keys import CATALOG, Keys
from projector.reading import LogRecord
from projector.rebuild.store import Snapshot


class Replica(Protocol):
    """A replica's store; every call raises `ReadModelUnavailableError`."""

    async def serving(self, places: Sequence[int]) -> dict[int, str]:
        """The generation that serves, by place; without those that none serves."""
        ...

    def scanned(self, match: str) -> AsyncGenerator[list[bytes], None]:
        """All names that match, in pieces; one may come twice."""
        ...

    async def snapshot(
        self,
        keys: Keys,
        values: Sequence[str],
        scores: Sequence[tuple[str, bytes]],
        scans: Sequence[tuple[str, int]],
    ) -> Snapshot:
        """Read all of it at one moment (`projector.rebuild.store.Store.snapshot`)."""
        ...


class Source(Protocol):
    """The log."""

    def records(
        self, place: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """Records of a place between two offsets. Raises `LogError`."""
        ...


class LogSource:
    """The log in Kafka."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log

    def records(
        self, place: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        """See `Source.records`."""
        if place == CATALOG:
            return self._log.messages(Topic.CATALOG_EVENTS, 0, start=start, stop=stop)
        return self._log.messages(Topic.LICENSE_EVENTS, place, start=start, stop=stop)
