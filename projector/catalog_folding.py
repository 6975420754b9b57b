"""The fold of a run of the catalog's records into one batch; pure, no I/O and no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ledger.domain.catalog.claims import claims_wanted
from ledger.domain.catalog.entities import RULES_ID, AnyEntity
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.catalog.fold import (
    CatalogFolded,
    CatalogLoaded,
    entities_named,
    fold_catalog,
    product_behind,
)
from ledger.domain.catalog.verdicts import CatalogVerdict, Scope, scope_of
from ledger.domain.clocks import PartitionClock
from ledger.domain.verdicts import Remembered
from ledger.event_log import chain
from projector.catalog_reading import CatalogReading
from projector.folding import CALENDAR_APART_MS, LostRecordError, Notes
from projector.loaded import Oldest
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.port import Batch
from projector.reading import TROUBLE, LogRecord
from projector.views.catalog import (
    catalog_verdict_document,
    entity_document,
    scope_document,
)
from projector.views.digests import Digests, Weigher, digests_document, moved_on
from projector.views.documents import Head
from projector.writes import Writes

_VERDICTS: Final = "C:"
LISTED_IN_THE_LEDGER: Final = "account"
"""Accounts are listed under the whole ledger; all else under its account."""


@dataclass(slots=True, kw_only=True)
class CatalogAtHand:
    """What a reading names, as it stands at one position; None: there is none.

    `scopes`: how many commands each remembers; `oldest`: the first of them. `stored`: documents by
    their key's short name, as the store holds them; `forgettable`: those of verdicts that may be
    forgotten. `digests`: of all that the store holds, None where they aren't known.
    """

    entities: dict[str, AnyEntity | None] = field(default_factory=dict)
    claims: dict[str, str | None] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], CatalogVerdict | None] = field(default_factory=dict)
    scopes: dict[str, int] = field(default_factory=dict)
    oldest: dict[str, Oldest] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    forgettable: dict[tuple[str, str], bytes] = field(default_factory=dict)
    digests: Digests | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogFolding:
    """A batch, what to tell of it, and the offset of the record that can't be folded after it."""

    batch: Batch
    notes: Notes
    poison: int | None


def fold_catalog_batch(
    reading: CatalogReading,
    head: Head,
    at_hand: CatalogAtHand,
    keys: Keys,
    weigher: Weigher,
) -> CatalogFolding:
    """Fold all entries of a reading from the head on, up to one that twice can't be.

    `at_hand` holds all that the entries name, and afterwards as it stands at the batch's end.
    Raises `LostRecordError` at a gap.
    """
    fold = _Fold(head, at_hand, keys, weigher)
    poison = reading.poison
    for record, event in reading.entries:
        if not fold.take(record, event):
            poison = record.offset
            break
    return CatalogFolding(batch=fold.finished(head.position), notes=fold.notes, poison=poison)


class _Fold:
    """One batch in the making."""

    def __init__(self, head: Head, at_hand: CatalogAtHand, keys: Keys, weigher: Weigher) -> None:
        self.notes = Notes()
        self._keys = keys
        self._weigher = weigher
        self._writes = Writes(keys, weigher)
        self._changed: dict[str, None] = {}
        self._at_hand = at_hand
        self._position = head.position
        self._clock = PartitionClock(timestamp_ms=head.timestamp_ms, elapsed_ms=head.elapsed_ms)
        self._chain = chain.from_text(head.chain)
        self._before_last = bytes.fromhex(head.before_last)

    def take(self, record: LogRecord, event: CatalogEvent | None) -> bool:
        """Fold one record; False where that twice fails, and nothing of it is taken."""
        if record.offset != self._position:
            raise LostRecordError(self._position, record.offset)
        clock = self._clock.advance(record.timestamp)
        if event is not None:
            folded = self._tried(event, record.offset, clock.elapsed_ms)
            if folded is None:
                return False
            self._note(event, record, changed=folded.changed)
            if folded.changed:
                self._enter(event, folded, clock.elapsed_ms)
        self._clock = clock
        self._position += 1
        self._before_last = self._chain
        self._chain = chain.extend(
            self._chain, record.offset, record.timestamp, record.key, record.value
        )
        return True

    def finished(self, start: int) -> Batch:
        """All that changed."""
        self._weigh()
        chain_ = self._chain.hex()
        at_hand, strings = self._at_hand, self._writes.strings
        if at_hand.digests is not None:
            at_hand.digests = moved_on(
                at_hand.digests,
                start=start,
                end=self._position,
                state=self._writes.state,
                documents=self._writes.documents,
                chain=chain_,
            )
        if at_hand.digests is not None:
            strings[self._keys.digests] = digests_document(at_hand.digests)
        return Batch(
            partition=CATALOG,
            generation=self._keys.generation,
            start=start,
            end=self._position,
            head=Head(
                position=self._position,
                timestamp_ms=self._clock.timestamp_ms,
                elapsed_ms=self._clock.elapsed_ms,
                chain=chain_,
                before_last=self._before_last.hex(),
            ),
            strings=strings,
            sorted_sets=self._writes.sorted_sets,
            changed=list(self._changed),
        )

    def _weigh(self) -> None:
        """Take what is written into the digests, and what it replaces out of them.

        Verdicts were weighed when they were remembered and forgotten.
        """
        stored, writes, weigh = self._at_hand.stored, self._writes, self._weigher.weigh
        for key, document in writes.strings.items():
            name = self._keys.short(key)
            if name.startswith(_VERDICTS):
                continue
            before = stored.pop(name, None)
            if before is not None:
                writes.state -= weigh(name, before)
            if document is not None:
                writes.state += weigh(name, document)
                stored[name] = document

    def _tried(self, event: CatalogEvent, offset: int, elapsed_ms: int) -> CatalogFolded | None:
        loaded = self._loaded(event)
        for _ in range(2):
            try:
                folded = fold_catalog(event, offset, elapsed_ms, loaded)
                for entity in folded.entities.values():
                    _document(entity)
                return folded
            except TROUBLE:
                raise
            except Exception:  # noqa: BLE001, S112 - whatever it is, it is that record's: poison
                continue
        return None

    def _loaded(self, event: CatalogEvent) -> CatalogLoaded:
        at_hand = self._at_hand
        scope = scope_of(event.account, event.actor)
        named = entities_named(event)
        behind = product_behind(event, at_hand.entities[event.subject])
        if behind is not None:
            named.append(behind)
        oldest = at_hand.oldest.get(scope)
        return CatalogLoaded(
            entities={id_: at_hand.entities[id_] for id_ in named},
            claims={name: at_hand.claims[name] for name in claims_wanted(event)},
            remembered=at_hand.verdicts[scope, event.id],
            commands=at_hand.scopes[scope],
            oldest=() if oldest is None else oldest.members,
        )

    def _note(self, event: CatalogEvent, record: LogRecord, *, changed: bool) -> None:
        self.notes.events += 1
        self.notes.duplicates += not changed
        apart = abs(event.time_ms - record.timestamp) > CALENDAR_APART_MS
        self.notes.calendar_apart += apart

    def _enter(self, event: CatalogEvent, folded: CatalogFolded, elapsed_ms: int) -> None:
        """Take what an event made into what is at hand and into what is to be written."""
        keys, writes, at_hand = self._keys, self._writes, self._at_hand
        for id_, entity in folded.entities.items():
            self._list(at_hand.entities[id_], entity)
            at_hand.entities[id_] = entity
            writes.strings[keys.entity(id_)] = _document(entity)
            self._changed[id_] = None
        for name, holder in folded.claims.items():
            at_hand.claims[name] = holder
            key = keys.claim(name)
            if holder is None and key not in writes.strings:
                # Given up, so the store holds it for who gives it up; it was loaded for nobody.
                at_hand.stored.setdefault(keys.short(key), event.subject.encode())
            writes.strings[key] = None if holder is None else holder.encode()
        self._remember(event, folded, elapsed_ms)

    def _list(self, before: AnyEntity | None, after: AnyEntity | None) -> None:
        """Enter what begins in its account's list of its kind; take out what goes."""
        entity = after or before
        if entity is None or (before is not None and after is not None):
            return
        kind = type(entity).__struct_config__.tag
        account = RULES_ID if kind == LISTED_IN_THE_LEDGER else entity.account
        score = None if after is None else after.offset
        self._writes.index(self._keys.entities(account, str(kind)), entity.id, score)

    def _remember(self, event: CatalogEvent, folded: CatalogFolded, elapsed_ms: int) -> None:
        at_hand, writes = self._at_hand, self._writes
        scope = scope_of(event.account, event.actor)
        command = Remembered(offset=folded.verdict.offset, elapsed_ms=elapsed_ms, command=event.id)
        document = catalog_verdict_document(folded.verdict)
        writes.remember_as(scope, command, document)
        at_hand.forgettable[scope, event.id] = document
        writes.forget(scope, folded.forget, at_hand.forgettable)
        writes.strings[self._keys.scope(scope)] = scope_document(Scope(commands=folded.commands))
        at_hand.verdicts[scope, event.id] = folded.verdict
        at_hand.scopes[scope] = folded.commands
        for old in folded.forget:
            at_hand.verdicts[scope, old.command] = None
        oldest = at_hand.oldest.get(scope)
        if oldest is not None:
            oldest.forgot(len(folded.forget))
            if oldest.complete:
                oldest.members.append(command)


def _document(entity: AnyEntity | None) -> bytes | None:
    return None if entity is None else entity_document(entity)
