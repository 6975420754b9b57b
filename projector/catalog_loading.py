"""Reading all that the fold of some records of the catalog looks at, from the store."""

from __future__ import annotations

from ledger.domain.catalog.entities import Policy
from ledger.domain.memory import FORGOTTEN_MAX, MEMORY_COMMANDS
from projector.catalog_folding import CatalogAtHand
from projector.catalog_reading import CatalogReading
from projector.loaded import Oldest, remembered
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.port import ReadModel
from projector.views.catalog import read_catalog_verdict, read_entity, read_scope


async def load_catalog(model: ReadModel, reading: CatalogReading) -> CatalogAtHand:
    """Read all that the reading names: mostly in one round trip."""
    keys, at_hand = Keys(CATALOG), CatalogAtHand()
    names = [
        *map(keys.entity, reading.entities),
        *map(keys.claim, reading.claims),
        *map(keys.scope, reading.scopes),
        *(keys.command(*name) for name in reading.commands),
    ]
    # Each zip ends with its names, before it takes another value.
    values = iter(await model.get(names))
    for id_, value in zip(reading.entities, values, strict=False):
        at_hand.entities[id_] = None if value is None else read_entity(value)
    for claim, value in zip(reading.claims, values, strict=False):
        at_hand.claims[claim] = None if value is None else value.decode()
    for scope, value in zip(reading.scopes, values, strict=False):
        at_hand.scopes[scope] = 0 if value is None else read_scope(value).commands
    for command, value in zip(reading.commands, values, strict=False):
        at_hand.verdicts[command] = None if value is None else read_catalog_verdict(value)
    await _load_products(model, at_hand)
    await _load_fronts(model, reading, at_hand)
    return at_hand


async def _load_products(model: ReadModel, at_hand: CatalogAtHand) -> None:
    """Load the products behind policies: these may be deleted by an event."""
    keys = Keys(CATALOG)
    policies = [entity for entity in at_hand.entities.values() if isinstance(entity, Policy)]
    behind = {policy.product for policy in policies} - at_hand.entities.keys()
    products = sorted(behind)
    values = await model.get([keys.entity(id_) for id_ in products])
    for id_, value in zip(products, values, strict=True):
        at_hand.entities[id_] = None if value is None else read_entity(value)


async def _load_fronts(model: ReadModel, reading: CatalogReading, at_hand: CatalogAtHand) -> None:
    """Load of each memory that may forget all that its commands here may forget."""
    keys = Keys(CATALOG)
    counts = {
        scope: FORGOTTEN_MAX * commands
        for scope, commands in reading.scopes.items()
        if at_hand.scopes[scope] + commands > MEMORY_COMMANDS
    }
    sets = {keys.commands(scope): count for scope, count in counts.items()}
    fronts = await model.fronts(sets)
    for scope, count in counts.items():
        members = [remembered(*entry) for entry in fronts[keys.commands(scope)]]
        at_hand.oldest[scope] = Oldest(members, complete=len(members) < count)
