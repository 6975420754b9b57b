"""The projection of catalog-events: load, fold, apply, and stop at what can't be folded.

Nothing is kept at hand from one chunk to the next: the catalog changes seldom.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ledger.domain.catalog.entities import Policy
from ledger.domain.memory import FORGOTTEN_MAX, MEMORY_COMMANDS
from ledger.event_log.port import Topic
from projector.catalog_folding import CatalogAtHand, CatalogFolding, fold_catalog_batch
from projector.catalog_reading import CatalogReading, read_catalog
from projector.fold_session import FoldSession
from projector.folding import LostRecordError
from projector.loaded import Oldest, remembered
from projector.metrics import Metrics
from projector.read_model.keys import CATALOG
from projector.read_model.port import BATCH_KEYS_MAX, EVENT_KEYS_MAX, ReadModel
from projector.reading import LogRecord
from projector.session import Cursor, Stopped
from projector.views.catalog import read_catalog_verdict, read_entity, read_scope

CHUNK_RECORDS: Final = BATCH_KEYS_MAX // EVENT_KEYS_MAX - 1
"""As many as surely fit into one batch."""


class CatalogProjection(FoldSession):
    """The one partition of catalog-events.

    A record that can't be decoded or folded stops it: what the rest of the catalog rests on is
    not guessed. Checks go on.
    """

    topic = Topic.CATALOG_EVENTS.value

    def __init__(
        self,
        cursor: Cursor,
        metrics: Metrics,
        model: ReadModel,
        check_log: Callable[[int], Awaitable[None]],
    ) -> None:
        super().__init__(CATALOG, cursor, metrics, model, check_log)

    @property
    def chunk_records(self) -> int:
        """How many records are folded at once."""
        return CHUNK_RECORDS

    async def _begin(self) -> None:
        pass

    async def _fold(self, records: Sequence[LogRecord]) -> bool:
        reading = read_catalog(records)
        at_hand = await self._load(reading)
        try:
            folding = fold_catalog_batch(reading, self._head, at_hand)
        except LostRecordError as lost:
            return self._look_again(lost)
        if folding.batch.end > folding.batch.start:
            if not await self._apply(folding.batch):
                return False
            self._told.tell(self.label, folding.notes)
            self._lost_at = None
        _stop_before(folding, reading)
        return True

    async def _load(self, reading: CatalogReading) -> CatalogAtHand:
        """Read all that the reading names: mostly in one round trip."""
        keys, at_hand = self._keys, CatalogAtHand()
        names = [
            *map(keys.entity, reading.entities),
            *map(keys.claim, reading.claims),
            *map(keys.scope, reading.scopes),
            *(keys.command(*name) for name in reading.commands),
        ]
        # Each zip ends with its names, before it takes another value.
        values = iter(await self._model.get(names))
        for id_, value in zip(reading.entities, values, strict=False):
            at_hand.entities[id_] = None if value is None else read_entity(value)
        for claim, value in zip(reading.claims, values, strict=False):
            at_hand.claims[claim] = None if value is None else value.decode()
        for scope, value in zip(reading.scopes, values, strict=False):
            at_hand.scopes[scope] = 0 if value is None else read_scope(value).commands
        for command, value in zip(reading.commands, values, strict=False):
            at_hand.verdicts[command] = None if value is None else read_catalog_verdict(value)
        await self._load_products(at_hand)
        await self._load_fronts(reading, at_hand)
        return at_hand

    async def _load_products(self, at_hand: CatalogAtHand) -> None:
        """Load the products behind policies: these may be deleted by an event."""
        policies = [entity for entity in at_hand.entities.values() if isinstance(entity, Policy)]
        behind = {policy.product for policy in policies} - at_hand.entities.keys()
        products = sorted(behind)
        values = await self._model.get([self._keys.entity(id_) for id_ in products])
        for id_, value in zip(products, values, strict=True):
            at_hand.entities[id_] = None if value is None else read_entity(value)

    async def _load_fronts(self, reading: CatalogReading, at_hand: CatalogAtHand) -> None:
        """Load of each memory that may forget all that its commands here may forget."""
        counts = {
            scope: FORGOTTEN_MAX * commands
            for scope, commands in reading.scopes.items()
            if at_hand.scopes[scope] + commands > MEMORY_COMMANDS
        }
        sets = {self._keys.commands(scope): count for scope, count in counts.items()}
        fronts = await self._model.fronts(sets)
        for scope, count in counts.items():
            members = [remembered(*entry) for entry in fronts[self._keys.commands(scope)]]
            at_hand.oldest[scope] = Oldest(members, complete=len(members) < count)


def _stop_before(folding: CatalogFolding, reading: CatalogReading) -> None:
    """Raise `Stopped` where the fold ended before a record that it can't take."""
    if folding.poison is not None:
        raise Stopped(
            "catalog-poison",
            f"the record at offset {folding.poison} of the catalog can't be folded",
        )
    if reading.unknown_rules is not None:
        raise Stopped("unknown-rules", str(reading.unknown_rules))
