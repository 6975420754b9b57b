"""Records that were set aside, folded again; pure, no I/O and no clock.

Each is folded at its own offset and by its own clocks, as they were stored with it. What comes of
it is what a fold of the whole log would have now, byte for byte (docs/format.md, "Quarantine").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from msgspec.structs import replace

from ledger.domain.clocks import PartitionClock
from ledger.domain.license import License
from ledger.event_log.codec import UnknownRulesError
from projector.folding import BatchFold, Notes
from projector.loaded import Documents
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import Batch
from projector.reading import Reading, decoded
from projector.views.documents import Head
from projector.views.set_aside import read_set_aside

PIECE: Final = 100
"""Records folded again in one batch: as many as surely fit."""


class Waiting(NamedTuple):
    """A record set aside, as a record of the log; `member`: as it is stored."""

    offset: int
    timestamp: int
    elapsed_ms: int
    key: bytes | None
    value: bytes | None
    member: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What folding again comes to.

    `batch`: None where nothing changes. `taken`: offsets of those that wait no more. `frozen_at`:
    the record that the license stands before, None where it stands before none. `poison`: the same,
    where that can't be folded here; else there is more to fold. `left`: what still waits.
    """

    batch: Batch | None
    taken: Sequence[int]
    frozen_at: int | None
    poison: int | None
    left: Sequence[Waiting]
    notes: Notes


def waiting(members: Sequence[tuple[bytes, int]]) -> list[Waiting]:
    """Records of their members, as a store gives them, in the order of their offsets."""
    return [_waiting(member) for member, _ in members]


def _waiting(member: bytes) -> Waiting:
    kept = read_set_aside(member)
    return Waiting(
        kept.offset, kept.timestamp_ms, kept.elapsed_ms, kept.key, kept.value, member=member
    )


def read_again(license_: str, records: Sequence[Waiting], discarded: frozenset[int]) -> Reading:
    """Decode the first `PIECE` of what waits of a license, and name what they need."""
    reading = Reading()
    for record in records[:PIECE]:
        event = None
        if record.offset not in discarded:
            try:
                event = decoded(record)
            except UnknownRulesError as error:
                reading.unknown_rules = error
        reading.entries.append((record, license_, event))
        reading.name(license_, event)
    return reading


def fold_again(
    license_: str,
    records: Sequence[Waiting],
    reading: Reading,
    discarded: frozenset[int],
    head: Head,
    documents: Documents,
    names: Keys,
) -> Again:
    """Fold what waits of a frozen license, as far as `reading` reaches; `documents` move on.

    The batch begins and ends at the head's position. Where more waits the license stays frozen
    before it, as if the next record were poison: folding again goes on from there.
    """
    batch = _AgainFold(head, documents, names, careful=True)
    return batch.again(license_, records, reading, discarded, names)


def take_back(
    records: Sequence[Waiting],
    discarded: frozenset[int],
    head: Head,
    documents: Documents,
    names: Keys,
) -> Again:
    """Take what is discarded off the list of the records that are no license's."""
    batch = _AgainFold(head, documents, names, careful=True)
    return batch.off_the_list(records, discarded, names)


class _AgainFold(BatchFold):
    """A batch of what waits."""

    def __init__(self, head: Head, documents: Documents, names: Keys, *, careful: bool) -> None:
        super().__init__(head, documents, names, careful=careful)
        self._end = self._clock
        self._taken: list[int] = []
        self._left: list[Waiting] = []

    def again(
        self,
        license_: str,
        records: Sequence[Waiting],
        reading: Reading,
        discarded: frozenset[int],
        names: Keys,
    ) -> Again:
        licenses = self._documents.licenses
        before = licenses[license_]
        assert before is not None  # noqa: S101 - what is frozen has a document
        last_good = replace(before, frozen_at=None)
        # A license that never was has no document in a fold that meets no poison of it.
        licenses[license_] = None if last_good == License(id=license_) else last_good
        poison = self._fold_on(license_, reading, discarded)
        at = poison
        for record in records[len(reading.entries) :]:
            if record.offset in discarded:
                self._take_back(license_, record)
            else:
                self._left.append(record)
                at = record.offset if at is None else at
        changed = bool(self._taken) or at != before.frozen_at
        self._settle(license_, at)
        return self._done(names, at, poison=poison, changed=changed)

    def _fold_on(self, license_: str, reading: Reading, discarded: frozenset[int]) -> int | None:
        """Fold up to the first that can't be; gives its offset."""
        at = None
        for record, _, event in reading.entries:
            assert isinstance(record, Waiting)  # noqa: S101 - they were read from there
            if record.offset in discarded:
                self._take_back(license_, record)
                continue
            if at is None:
                self._clock = PartitionClock(
                    timestamp_ms=record.timestamp, elapsed_ms=record.elapsed_ms
                )
                now = self._documents.licenses[license_]
                if event is not None and self._folded(event, record, now):
                    self._take_back(license_, record)
                    continue
                at = record.offset
            self._left.append(record)
        return at

    def _settle(self, license_: str, at: int | None) -> None:
        """Freeze the license before what is left, or let it be written again."""
        licenses, changes = self._documents.licenses, self.changes
        if at is None:
            changes.thawed(license_)
        else:
            licenses[license_] = replace(licenses[license_] or License(id=license_), frozen_at=at)
            changes.frozen(license_, at)
        changes.licenses[license_] = licenses[license_]

    def off_the_list(
        self, records: Sequence[Waiting], discarded: frozenset[int], names: Keys
    ) -> Again:
        for record in records:
            if record.offset in discarded:
                self._take_back(keys.UNROUTABLE, record)
            else:
                self._left.append(record)
        return self._done(names, None, poison=None, changed=bool(self._taken))

    def _take_back(self, under: str, record: Waiting) -> None:
        self._taken.append(record.offset)
        self.changes.taken_back(under, record.offset, record.member)

    def _done(self, names: Keys, at: int | None, *, poison: int | None, changed: bool) -> Again:
        self._clock = self._end
        return Again(
            batch=self.finished(names) if changed else None,
            taken=self._taken,
            frozen_at=at,
            poison=poison,
            left=self._left,
            notes=self.notes,
        )
