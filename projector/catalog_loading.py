"""Reading all that the fold of some records of the catalog looks at, from the store."""

from __future__ import annotations

from ledger.domain.catalog.entities import Policy
from ledger.domain.memory import FORGOTTEN_MAX, MEMORY_COMMANDS, MEMORY_MS
from projector.catalog_folding import CatalogAtHand
from projector.catalog_reading import CatalogReading
from projector.loaded import Oldest, remembered
from projector.read_model.keys import Keys
from projector.read_model.port import ReadModel
from projector.views.catalog import read_catalog_verdict, read_entity, read_scope


async def load_catalog(
    model: ReadModel, keys: Keys, reading: CatalogReading, elapsed_ms: int
) -> CatalogAtHand:
    """Read all that the reading names: mostly in one round trip.

    `elapsed_ms`: the catalog's elapsed clock at the reading's end.
    """
    at_hand = CatalogAtHand()
    names = [
        *map(keys.entity, reading.entities),
        *map(keys.claim, reading.claims),
        *map(keys.scope, reading.scopes),
        *(keys.command(*name) for name in reading.commands),
    ]
    # Each zip ends with its names, before it takes another value.
    found = await model.get(names)
    at_hand.stored.update(
        (keys.short(name), value)
        for name, value in zip(names, found, strict=True)
        if value is not None
    )
    values = iter(found)
    for id_, value in zip(reading.entities, values, strict=False):
        at_hand.entities[id_] = None if value is None else read_entity(value)
    for claim, value in zip(reading.claims, values, strict=False):
        at_hand.claims[claim] = None if value is None else value.decode()
    for scope, value in zip(reading.scopes, values, strict=False):
        at_hand.scopes[scope] = 0 if value is None else read_scope(value).commands
    for command, value in zip(reading.commands, values, strict=False):
        at_hand.verdicts[command] = None if value is None else read_catalog_verdict(value)
    await _load_products(model, keys, at_hand)
    await _load_fronts(model, keys, reading, at_hand)
    await _load_due(model, keys, at_hand, elapsed_ms)
    return at_hand


async def _load_products(model: ReadModel, keys: Keys, at_hand: CatalogAtHand) -> None:
    """Load the products behind policies: these may be deleted by an event."""
    policies = [entity for entity in at_hand.entities.values() if isinstance(entity, Policy)]
    behind = {policy.product for policy in policies} - at_hand.entities.keys()
    products = sorted(behind)
    values = await model.get([keys.entity(id_) for id_ in products])
    for id_, value in zip(products, values, strict=True):
        at_hand.entities[id_] = None if value is None else read_entity(value)
        if value is not None:
            at_hand.stored[keys.short(keys.entity(id_))] = value


async def _load_fronts(
    model: ReadModel, keys: Keys, reading: CatalogReading, at_hand: CatalogAtHand
) -> None:
    """Load of each memory that may forget all that its commands here may forget."""
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


async def _load_due(model: ReadModel, keys: Keys, at_hand: CatalogAtHand, elapsed_ms: int) -> None:
    """Load the verdicts that may be forgotten: the digests have to forget them too."""
    due = [
        (scope, old.command)
        for scope, oldest in at_hand.oldest.items()
        for old in oldest.members
        if elapsed_ms - old.elapsed_ms > MEMORY_MS
    ]
    values = await model.get([keys.command(*name) for name in due])
    for name, value in zip(due, values, strict=True):
        at_hand.forgettable[name] = value or b""
