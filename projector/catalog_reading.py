"""Records of the catalog, decoded, and the names of all that they need; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.domain.catalog.claims import claims_wanted
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.catalog.fold import entities_named
from ledger.domain.catalog.verdicts import scope_of
from ledger.event_log import genesis
from ledger.event_log.catalog_codec import decode_catalog
from ledger.event_log.codec import UnknownRulesError
from projector.reading import TROUBLE, LogRecord

CatalogEntry = tuple[LogRecord, CatalogEvent | None]
"""A record and its event; a genesis record has none."""


@dataclass(slots=True, kw_only=True)
class CatalogReading:
    """A run of records up to the first that can't be folded, and what is to be loaded for it.

    `scopes`: with the number of their commands here. `unknown_rules`, `poison`: what the run ends
    before; the latter is an offset.
    """

    entries: list[CatalogEntry] = field(default_factory=list)
    entities: dict[str, None] = field(default_factory=dict)
    claims: dict[str, None] = field(default_factory=dict)
    scopes: dict[str, int] = field(default_factory=dict)
    commands: dict[tuple[str, str], None] = field(default_factory=dict)
    unknown_rules: UnknownRulesError | None = None
    poison: int | None = None

    def name(self, event: CatalogEvent) -> None:
        """Enter what one event needs."""
        self.entities.update(dict.fromkeys(entities_named(event)))
        self.claims.update(dict.fromkeys(claims_wanted(event)))
        scope = scope_of(event.account, event.actor)
        self.scopes[scope] = self.scopes.get(scope, 0) + 1
        self.commands[scope, event.id] = None


def read_catalog(records: Sequence[LogRecord]) -> CatalogReading:
    """Decode `records`, up to the first that is poison or asks for rules unknown here."""
    reading = CatalogReading()
    for record in records:
        event = None
        if record.key != genesis.RECORD_KEY:
            try:
                event = _decoded(record)
            except UnknownRulesError as error:
                reading.unknown_rules = error
                break
            if event is None:
                reading.poison = record.offset
                break
            reading.name(event)
        reading.entries.append((record, event))
    return reading


def _decoded(record: LogRecord) -> CatalogEvent | None:
    """Event of a record, None where it twice doesn't decode."""
    for _ in range(2):
        try:
            return decode_catalog(record.key, record.value)
        except (*TROUBLE, UnknownRulesError):
            raise
        except Exception:  # noqa: BLE001, S112 - whatever it is, it is that record's
            continue
    return None
