"""What is asked of a replica and of the log while both go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from msgspec.structs import replace

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


class OneGeneration:
    """One generation of a replica, whether it serves or not; see `Replica`.

    `still`: nobody folds it on meanwhile, so that its age says nothing.
    """

    def __init__(self, store: Replica, generation: str, *, still: bool) -> None:
        self._store = store
        self._generation = generation
        self._still = still

    async def serving(self, places: Sequence[int]) -> dict[int, str]:
        """See `Replica.serving`: it is this one everywhere."""
        return dict.fromkeys(places, self._generation)

    def scanned(self, match: str) -> AsyncGenerator[list[bytes], None]:
        """See `Replica.scanned`."""
        return self._store.scanned(match)

    async def snapshot(
        self,
        keys: Keys,
        values: Sequence[str],
        scores: Sequence[tuple[str, bytes]],
        scans: Sequence[tuple[str, int]],
    ) -> Snapshot:
        """See `Replica.snapshot`."""
        found = await self._store.snapshot(keys, values, scores, scans)
        now_ms = 0 if self._still else found.now_ms
        return replace(found, serving=self._generation, now_ms=now_ms)


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
