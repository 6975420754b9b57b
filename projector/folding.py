"""The fold of a run of records of one partition into one batch; pure, no I/O and no clock.

Drives `ledger.domain.license.fold`. What it keeps by itself is the partition's: the clock and the
chain, which advance over every record whatever it is, and what is set aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from ledger.domain.clocks import CLOCKS_APART_REFUSE_MS, PartitionClock
from ledger.domain.events import Event
from ledger.domain.license import Folded, License, Loaded, Machine, fold
from ledger.domain.verdicts import Remembered
from ledger.event_log import chain
from projector.changes import Changes
from projector.loaded import Documents
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import Batch
from projector.reading import GENESIS, TROUBLE, Entry, LogRecord
from projector.views.digests import CUT_EVERY, digests_document, moved_on
from projector.views.documents import (
    Head,
    license_document,
    machine_document,
    verdict_document,
)
from projector.views.set_aside import SetAside

CALENDAR_APART_MS: Final = CLOCKS_APART_REFUSE_MS
"""Sender's time and broker's timestamp further apart than this: an alarm tells."""


class LostRecordError(Exception):
    """An offset is missing from the log: a record was lost, and nothing after it may be folded."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"expected offset {expected}, found {found}")
        self.expected = expected
        self.found = found


@dataclass(slots=True, kw_only=True)
class Notes:
    """What people are told of a batch: counts, and where poison stands and what it froze."""

    events: int = 0
    duplicates: int = 0
    set_aside: int = 0
    calendar_apart: int = 0
    poison: list[tuple[str, int]] = field(default_factory=list)
    failure: str | None = None
    """What kind of error the last record that couldn't be folded has met."""
    unroutable: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """A batch, how many entries it took, and what to tell of it."""

    batch: Batch
    taken: int
    notes: Notes


def fold_batch(
    entries: Sequence[Entry],
    head: Head,
    documents: Documents,
    names: Keys,
    *,
    careful: bool = False,
) -> Folding:
    """Fold entries from the head on until the batch is full; `documents` move on with it.

    A batch also ends where digests are cut. `names`: of the partition and generation.

    `documents` hold all that the entries name, as it stands at `head.position`, and afterwards as
    it stands at the batch's end; after an exception they are worth nothing. `careful` renders each
    result at once, so that what can't be rendered freezes its own license and not the batch.
    Raises `LostRecordError` at a gap; what else it raises is no record's fault.
    """
    batch = BatchFold(head, documents, names, careful=careful)
    taken = 0
    end = min(len(entries), CUT_EVERY - head.position % CUT_EVERY)
    while taken < end and (room := batch.changes.room) > 0:
        run = entries[taken : min(taken + room, end)]
        batch.take(run)
        taken += len(run)
    return Folding(batch=batch.finished(names), taken=taken, notes=batch.notes)


def elapsed_after(entries: Sequence[tuple[LogRecord, *tuple[object, ...]]], head: Head) -> int:
    """The partition's elapsed clock after the entries, in milliseconds."""
    clock = clock_of(head)
    for record, *_ in entries:
        if record.timestamp != clock.timestamp_ms:
            clock = clock.advance(record.timestamp)
    return clock.elapsed_ms


class BatchFold:
    """One batch in the making."""

    def __init__(self, head: Head, documents: Documents, names: Keys, *, careful: bool) -> None:
        self.changes = Changes(names, documents.weigher)
        self.notes = Notes()
        self._documents = documents
        self._careful = careful
        self._start = self._position = head.position
        self._clock = clock_of(head)
        self._chain = chain.from_text(head.chain)
        self._before_last = bytes.fromhex(head.before_last)

    def take(self, entries: Sequence[Entry]) -> None:
        """Fold some more records."""
        position, extended, extend = self._position, self._chain, chain.extend
        before_last = self._before_last
        licenses = self._documents.licenses
        for record, license_id, event in entries:
            offset, timestamp_ms = record.offset, record.timestamp
            if offset != position:
                raise LostRecordError(position, offset)
            position += 1
            if timestamp_ms != self._clock.timestamp_ms:
                self._clock = self._clock.advance(timestamp_ms)
            before_last = extended
            extended = extend(extended, offset, timestamp_ms, record.key, record.value)
            if license_id is None or license_id is GENESIS:
                self._leave_aside(license_id, record)
                continue
            license_ = licenses[license_id]
            if license_ is not None and license_.frozen_at is not None:
                self._set_aside(license_id, record)
            elif event is None or not self._folded(event, record, license_):
                self._freeze(license_id, license_, record)
        self._position, self._chain, self._before_last = position, extended, before_last

    def _leave_aside(self, license_id: str | None, record: LogRecord) -> None:
        """Nothing of a genesis record, or a discarded one; one of no license is kept by offset."""
        if license_id is None:
            self.notes.unroutable.append(record.offset)
            self._set_aside(keys.UNROUTABLE, record)

    def finished(self, names: Keys) -> Batch:
        """Render what changed."""
        changes, documents = self.changes, self._documents
        changes.render(documents.license_weights, documents.machine_weights)
        chain_ = self._chain.hex()
        if documents.digests is not None:
            documents.digests = moved_on(
                documents.digests,
                start=self._start,
                end=self._position,
                state=changes.state,
                documents=changes.documents,
                chain=chain_,
            )
        if documents.digests is not None:
            changes.strings[names.digests] = digests_document(documents.digests)
        return Batch(
            partition=names.partition,
            generation=names.generation,
            start=self._start,
            end=self._position,
            head=Head(
                position=self._position,
                timestamp_ms=self._clock.timestamp_ms,
                elapsed_ms=self._clock.elapsed_ms,
                chain=chain_,
                before_last=self._before_last.hex(),
            ),
            strings=changes.strings,
            sorted_sets=changes.sorted_sets,
            changed=list(changes.licenses),
        )

    def _folded(self, event: Event, record: LogRecord, license_: License | None) -> bool:
        """Fold an event; False where that twice fails: the record is poison."""
        documents = self._documents
        machine_id: str | None = getattr(event.data, "machine", None)
        machine = None if machine_id is None else documents.machines.get(machine_id)
        oldest = documents.oldest.get(event.license)
        loaded = Loaded(
            license=license_,
            machine=machine,
            remembered=documents.verdicts.get((event.license, event.id)),
            oldest=() if oldest is None else oldest.members,
        )
        folded = self._tried(event, record.offset, loaded)
        if folded is None:
            return False
        self._note(event, record, changed=folded.changed)
        if folded.changed:
            self._enter(event, folded, machine)
            self.changes.listed(license_, folded.license)
        return True

    def _tried(self, event: Event, offset: int, loaded: Loaded) -> Folded | None:
        for _ in range(2):
            try:
                folded = fold(event, offset, self._clock.elapsed_ms, loaded)
                if self._careful:
                    render_once(folded)
                return folded
            except TROUBLE:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is that record's: poison
                self.notes.failure = type(error).__name__
        return None

    def _note(self, event: Event, record: LogRecord, *, changed: bool) -> None:
        notes = self.notes
        notes.events += 1
        if not changed:
            notes.duplicates += 1
        if not -CALENDAR_APART_MS <= event.time_ms - record.timestamp <= CALENDAR_APART_MS:
            notes.calendar_apart += 1

    def _enter(self, event: Event, folded: Folded, before: Machine | None) -> None:
        """Take what an event made into the documents and into what is to be written."""
        changes, documents = self.changes, self._documents
        license_ = folded.license
        id_ = license_.id
        documents.licenses[id_] = changes.licenses[id_] = license_
        if folded.machine_changed:
            machine = folded.machine
            if machine is not None:
                documents.machines[machine.id] = machine
                changes.machine(license_.account, machine, held=True)
            elif before is not None:
                documents.machines[before.id] = None
                changes.machine(license_.account, before, held=False)
        if folded.remember:
            self._remember(event, folded)

    def _remember(self, event: Event, folded: Folded) -> None:
        documents, verdict = self._documents, folded.verdict
        id_ = event.license
        command = Remembered(
            offset=verdict.offset, elapsed_ms=self._clock.elapsed_ms, command=event.id
        )
        documents.verdicts[id_, event.id] = verdict
        document = self.changes.remember(id_, command, verdict)
        oldest = documents.oldest.get(id_)
        if oldest is None:
            return
        documents.forgettable[id_, event.id] = document
        if folded.forget:
            oldest.forgot(len(folded.forget))
            self.changes.forget(id_, folded.forget, documents.forgettable)
            for old in folded.forget:
                documents.verdicts[id_, old.command] = None
        if oldest.complete:
            oldest.members.append(command)

    def _freeze(self, license_id: str, license_: License | None, record: LogRecord) -> None:
        """Keep a license as it was before the record, and the record for newer code."""
        last_good = license_ or License(id=license_id)
        frozen = replace(last_good, frozen_at=record.offset)
        self._documents.licenses[license_id] = self.changes.licenses[license_id] = frozen
        self.changes.frozen(license_id, record.offset)
        self.notes.poison.append((license_id, record.offset))
        self._set_aside(license_id, record)

    def _set_aside(self, license_id: str, record: LogRecord) -> None:
        self.notes.set_aside += 1
        self.changes.set_aside(license_id, as_set_aside(record, self._clock))


def clock_of(head: Head) -> PartitionClock:
    """Return the partition's clock at its head."""
    return PartitionClock(timestamp_ms=head.timestamp_ms, elapsed_ms=head.elapsed_ms)


def as_set_aside(record: LogRecord, clock: PartitionClock) -> SetAside:
    """Return a record as it waits, with its partition's clock there."""
    return SetAside(
        offset=record.offset,
        timestamp_ms=record.timestamp,
        elapsed_ms=clock.elapsed_ms,
        key=record.key,
        value=record.value,
    )


def render_once(folded: Folded) -> None:
    """Render all that was made; what can't be rendered raises."""
    license_document(folded.license)
    verdict_document(folded.verdict)
    if folded.machine is not None:
        machine_document(folded.machine)
