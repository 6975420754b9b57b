"""A catalog in dicts: folds one event after the other on what it has stored, as bytes."""

from __future__ import annotations

from ledger.domain.catalog.claims import claims_wanted
from ledger.domain.catalog.entities import AnyEntity
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.catalog.fold import (
    CatalogFolded,
    CatalogLoaded,
    entities_named,
    fold_catalog,
    product_behind,
)
from ledger.domain.catalog.verdicts import CatalogVerdict, scope_of
from ledger.domain.clocks import PartitionClock
from ledger.domain.memory import FORGOTTEN_MAX
from ledger.domain.verdicts import Remembered
from projector.views.catalog import entity_document, read_entity


class CatalogReplica:
    """Stores as the projector does and shares nothing with it, so the two can be compared.

    `memory` by scope, `claims` with their holders.
    """

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.claims: dict[str, str] = {}
        self.verdicts: dict[tuple[str, str], CatalogVerdict] = {}
        self.memory: dict[str, list[Remembered]] = {}
        self.offset = 0
        self.elapsed_ms = 0
        self._clock = PartitionClock()

    def tick(self, timestamp_ms: int) -> None:
        """Let the broker's clock show another time."""
        self._clock = self._clock.advance(timestamp_ms)
        self.elapsed_ms = self._clock.elapsed_ms

    def entity(self, id_: str) -> AnyEntity | None:
        document = self.documents.get(id_)
        return None if document is None else read_entity(document)

    def entities(self) -> list[AnyEntity]:
        return [read_entity(one) for one in self.documents.values()]

    def take(self, event: CatalogEvent) -> CatalogVerdict:
        """Fold the next event."""
        return self.folded(event).verdict

    def take_all(self, *events: CatalogEvent) -> list[str]:
        """Fold events; their verdicts' codes."""
        return [self.take(event).code for event in events]

    def folded(self, event: CatalogEvent) -> CatalogFolded:
        """Fold the next event, store what it made, and give it whole."""
        result = fold_catalog(event, self.offset, self.elapsed_ms, self._loaded(event))
        if result.changed:
            self._store(event, result)
        self.offset += 1
        return result

    def state(self) -> dict[str, object]:
        """All that is stored, to compare."""
        return {
            "documents": dict(self.documents),
            "claims": dict(self.claims),
            "verdicts": dict(self.verdicts),
            "memory": {scope: list(kept) for scope, kept in self.memory.items()},
        }

    def _loaded(self, event: CatalogEvent) -> CatalogLoaded:
        scope = scope_of(event.account, event.actor)
        names = entities_named(event)
        behind = product_behind(event, self.entity(event.subject))
        kept = self.memory.get(scope, [])
        return CatalogLoaded(
            entities={id_: self.entity(id_) for id_ in [*names, *([behind] if behind else [])]},
            claims={name: self.claims.get(name) for name in claims_wanted(event)},
            remembered=self.verdicts.get((scope, event.id)),
            commands=len(kept),
            oldest=kept[:FORGOTTEN_MAX],
        )

    def _store(self, event: CatalogEvent, result: CatalogFolded) -> None:
        for id_, entity in result.entities.items():
            if entity is None:
                del self.documents[id_]
            else:
                self.documents[id_] = entity_document(entity)
        for name, holder in result.claims.items():
            if holder is None:
                del self.claims[name]
            else:
                assert name not in self.claims, "a claim is free before it is taken"
                self.claims[name] = holder
        self._remember(event, result)

    def _remember(self, event: CatalogEvent, result: CatalogFolded) -> None:
        scope = scope_of(event.account, event.actor)
        kept = self.memory.setdefault(scope, [])
        assert list(result.forget) == kept[: len(result.forget)], "forgets from the front"
        for old in result.forget:
            del self.verdicts[scope, old.command]
        del kept[: len(result.forget)]
        self.verdicts[scope, event.id] = result.verdict
        kept.append(Remembered(offset=self.offset, elapsed_ms=self.elapsed_ms, command=event.id))
        assert len(kept) == result.commands
