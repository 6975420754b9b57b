"""Which records of license-events are discarded, read from the catalog's own topic.

A discard is in force by its record alone, whatever its verdict: who asks needs no fold of the
catalog, and no two of them can differ (docs/format.md, "Quarantine").
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import Final

from ledger.domain.catalog.events import CATALOG_TYPE_NAMES, RecordDiscarded
from ledger.event_log.catalog_codec import decode_catalog
from ledger.event_log.codec import UndecodableError, UnknownRulesError
from ledger.event_log.port import EventLog, LogUnavailable, MissingTopic, Record, Topic

NONE: Final[frozenset[int]] = frozenset()
_TYPE: Final = f'"{CATALOG_TYPE_NAMES[RecordDiscarded]}"'.encode()


class DiscardList:
    """Offsets of discarded records by partition, of the catalog up to `position`."""

    def __init__(self) -> None:
        self.position = 0
        self._offsets: dict[int, frozenset[int]] = {}

    def of(self, partition: int) -> frozenset[int]:
        """Offsets in a partition; the same object until one is added there."""
        return self._offsets.get(partition, NONE)

    def take(self, records: Iterable[Record]) -> None:
        """Take the catalog's next records."""
        for record in records:
            self.position = record.offset + 1
            if record.value is None or _TYPE not in record.value:
                continue
            found = _discard(record)
            if found is not None and found.offset not in self.of(found.partition):
                self._offsets[found.partition] = self.of(found.partition) | {found.offset}

    async def read_on(self, log: EventLog) -> None:
        """Read the catalog on to its end.

        Raises `LogUnavailable`, and `LostRecords` where it ends before what was read of it.
        """
        try:
            runs = log.read(Topic.CATALOG_EVENTS, 0, start=self.position)
            async with aclosing(runs):
                async for records in runs:
                    self.take(records)
        except MissingTopic as error:
            raise LogUnavailable(f"the discarded records can't be told: {error}") from None


async def read_discards(log: EventLog) -> DiscardList:
    """All discards up to the catalog's end. Raises `LogUnavailable`, `LostRecords`."""
    found = DiscardList()
    await found.read_on(log)
    return found


def _discard(record: Record) -> RecordDiscarded | None:
    try:
        data = decode_catalog(record.key, record.value).data
    except (UndecodableError, UnknownRulesError):
        return None
    return data if isinstance(data, RecordDiscarded) else None
