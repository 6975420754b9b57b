"""Comparing what stands in a partition with what a backup has of it, record by record."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

from ledger.archive.due import Due
from ledger.archive.trouble import NotRestorable
from ledger.event_log import genesis
from ledger.event_log.port import ForeignLog, Record, Topic

NEEDS: Final = (
    "a restore needs a cluster without this ledger's topics, or one in which a restore of this "
    "same backup was interrupted"
)


class Comparison:
    """One partition from its beginning; `at`: up to where all is as it has to be.

    `ledger`: whose backup it is.
    """

    def __init__(
        self, topic: Topic, partition: int, batches: Iterable[list[Due]], ledger: str
    ) -> None:
        self._name = f"{topic}, partition {partition},"
        self._wanted = chain.from_iterable(batches)
        self._ledger = ledger
        self.at = 0

    def take(self, records: Iterable[Record]) -> None:
        """Compare the next records of the log; raises `NotRestorable` at the first that differs."""
        for record in records:
            wanted = next(self._wanted, None)
            while wanted and not wanted.needed and wanted.record.offset < record.offset:
                wanted = next(self._wanted, None)
            if wanted is None or wanted.record != record:
                raise self.differs(record)
            self.at = record.offset + 1

    def differs(self, record: Record | None = None) -> NotRestorable:
        """What to say of a record that isn't the backup's, or of one that isn't there."""
        if record is None:
            return NotRestorable(f"{self._name} lacks the record of offset {self.at}: {NEEDS}")
        other = _ledger(record)
        if other not in {None, self._ledger}:
            return NotRestorable(
                f"{self._name} is of ledger {other}, and the backup of {self._ledger}: {NEEDS}"
            )
        return NotRestorable(
            f"{self._name} holds at offset {record.offset} another record than the backup: {NEEDS}"
        )


def _ledger(record: Record) -> str | None:
    """The ledger that a genesis record is of."""
    try:
        return genesis.decode(record.value).ledger if record.key == genesis.RECORD_KEY else None
    except ForeignLog:
        return None
