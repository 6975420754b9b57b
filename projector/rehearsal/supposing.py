"""A partition folded twice at once: as recorded, and as if later rules had been active all along.

Pure. Every record is decided under both, also those whose verdicts nobody remembers any more. A
record that can't be folded under one of them has no verdict there: it is set aside, with all that
comes after it of its license.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.domain.catalog.entities import FIRST_RULES
from ledger.domain.events import Event
from ledger.domain.license import Folded, Loaded
from ledger.domain.verdicts import Verdict
from projector.reading import LogRecord
from projector.rebuild.bulk import BulkFold
from projector.rehearsal.changes import Change, Compared, Kind, license_state, machine_state
from projector.rehearsal.spool import Spool
from projector.views.documents import verdict_document

Decided = tuple[Event, Verdict]


class _Deciding(BulkFold):
    """A fold that notes each record's event and verdict, by offset."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        *,
        careful: bool,
        discarded: frozenset[int],
        rules: int,
    ) -> None:
        super().__init__(partition, partitions, careful=careful, discarded=discarded, rules=rules)
        self.decided: dict[int, Decided] = {}

    def _tried(self, event: Event, offset: int, loaded: Loaded) -> Folded | None:
        folded = super()._tried(event, offset, loaded)
        if folded is not None:
            self.decided[offset] = event, folded.verdict
        return folded


class Supposing:
    """Folds one partition as recorded, and as if `rules` had been active all along."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        rules: int,
        discarded: frozenset[int] = frozenset(),
        *,
        careful: bool = False,
    ) -> None:
        self._partition = partition
        self._recorded, self._supposed = (
            _Deciding(partition, partitions, careful=careful, discarded=discarded, rules=each)
            for each in (FIRST_RULES, rules)
        )
        self._verdicts = 0
        self._changes = Spool()

    def take(self, records: Sequence[LogRecord]) -> None:
        """Fold some more records, and compare their verdicts; raises as `BulkFold.take` does."""
        recorded, supposed = self._recorded, self._supposed
        recorded.decided, supposed.decided = {}, {}
        recorded.take(records)
        supposed.take(records)
        for offset in sorted(recorded.decided.keys() | supposed.decided.keys()):
            self._verdicts += 1
            self._compare(recorded.decided.get(offset), supposed.decided.get(offset))

    def compared(self) -> Compared:
        """Compare the states that were come to, and say all."""
        one, other = self._recorded.held, self._supposed.held
        for id_ in sorted(one.licenses.keys() | other.licenses.keys()):
            if one.licenses.get(id_) != other.licenses.get(id_):
                before, after = license_state(one, id_), license_state(other, id_)
                self._changed("license", id_, id_, before, after)
        for id_ in sorted(one.machines.keys() | other.machines.keys()):
            mine, theirs = one.machines.get(id_), other.machines.get(id_)
            if mine != theirs:
                license_ = next(each.license for each in (mine, theirs) if each is not None)
                before, after = machine_state(one, id_), machine_state(other, id_)
                self._changed("machine", license_, id_, before, after)
        return Compared(
            partition=self._partition,
            head=self._recorded.head,
            verdicts=self._verdicts,
            licenses=len(one.licenses.keys() | other.licenses.keys()),
            machines=len(one.machines.keys() | other.machines.keys()),
            changes=self._changes,
        )

    def _compare(self, one: Decided | None, other: Decided | None) -> None:
        before, after = (None if each is None else each[1] for each in (one, other))
        if before == after:
            return
        event = next(each[0] for each in (one, other) if each is not None)
        self._changed(
            "verdict",
            event.license,
            event.id,
            None if before is None else verdict_document(before),
            None if after is None else verdict_document(after),
        )

    def _changed(
        self, kind: Kind, license_: str, id_: str, before: bytes | None, after: bytes | None
    ) -> None:
        self._changes.append(
            Change(
                partition=self._partition,
                license=license_,
                kind=kind,
                id=id_,
                before=before,
                after=after,
            )
        )
