"""Which documents differ, and how: a generation beside a fold in memory, or beside another one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Final

from msgspec import Struct

from projector.read_model.keys import CATALOG, Keys, tag
from projector.rebuild.building import RecordSource
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.rebuild.store import Store
from projector.views.digests import Weigher
from projector.views.documents import read_head, read_machine

SHOWN_MAX: Final = 20
_PIECE: Final = 200
_TRIES: Final = 250
_AGAIN_S: Final = 0.02
_DOCUMENTS: Final = frozenset("LMCEUS")


class ApartError(Exception):
    """Two generations were never seen at the same position."""

    def __init__(self, place: int) -> None:
        super().__init__(
            f"the two generations of partition {place} are never at the same position, so they "
            "can't be compared: see whether both are folded on"
        )


class Difference(Struct, frozen=True, kw_only=True):
    """One document that differs: its short name, whose it is, and both forms (None: none).

    `owner`: the license, or of the catalog the key's own id.
    """

    place: int
    name: str
    owner: str
    there: bytes | None
    expected: bytes | None


async def beside_a_fold(
    store: Store,
    source: RecordSource,
    weigher: Weigher,
    *,
    place: int,
    partitions: int,
    generation: str,
    discarded: frozenset[int],
) -> list[Difference]:
    """Documents of a license partition that a fold in memory up to its position makes otherwise."""
    keys = Keys(place, generation)
    [document] = await store.get([keys.head])
    end = 0 if document is None else read_head(document).position
    folding = BulkFold(place, partitions, discarded=discarded)
    async with aclosing(source.messages(place, stop=end)) as runs:
        async for records in runs:
            folding.take(records)
    owners = {id_: machine.license for id_, machine in folding.held.machines.items()}
    strings = iter(Rendering(folding.held, keys, weigher).strings())
    found: list[Difference] = []
    while len(found) < SHOWN_MAX and (piece := list(islice(strings, _PIECE))):
        stored = await store.get([key for key, _ in piece])
        found += [
            _difference(keys, key, there, expected, owners)
            for (key, expected), there in zip(piece, stored, strict=True)
            if there != expected
        ]
    return found[:SHOWN_MAX]


async def beside_another(
    store: Store, place: int, there: str, expected: str, *, frozen: Iterable[str] = ()
) -> list[Difference]:
    """Documents of a place that differ between two generations that are folded on meanwhile.

    `frozen`: licenses to leave out. Both are read at one moment, at the same position.
    """
    one, other, left_out = Keys(place, there), Keys(place, expected), frozenset(frozen)
    found: dict[str, Difference] = {}
    for keys in (one, other):
        async for names in store.scanned(f"{tag(place)}:{keys.generation}:*"):
            short = [keys.short(name.decode()) for name in dict.fromkeys(names)]
            short = [name for name in short if name[0] in _DOCUMENTS and name[1:2] == ":"]
            for at in range(0, len(short), _PIECE):
                for each in await _compared(store, one, other, short[at : at + _PIECE]):
                    if each.owner not in left_out:
                        found.setdefault(each.name, each)
            if len(found) >= SHOWN_MAX:
                return list(found.values())[:SHOWN_MAX]
    return list(found.values())


async def _compared(store: Store, one: Keys, other: Keys, names: Sequence[str]) -> list[Difference]:
    for _ in range(_TRIES):
        asked = [keys.prefix + name for keys in (one, other) for name in names]
        heads_and_values = await store.get([one.head, other.head, *asked])
        heads, values = heads_and_values[:2], heads_and_values[2:]
        pairs = list(zip(names, values, values[len(names) :], strict=False))
        names = [name for name, mine, theirs in pairs if mine != theirs]
        if not names:
            return []
        positions = {None if head is None else read_head(head).position for head in heads}
        if len(positions) == 1:
            return [
                _difference(one, one.prefix + name, mine, theirs, {})
                for name, mine, theirs in pairs
                if mine != theirs
            ]
        await asyncio.sleep(_AGAIN_S)
    raise ApartError(one.partition)


def _difference(
    keys: Keys,
    key: str,
    there: bytes | None,
    expected: bytes | None,
    owners: dict[str, str],
) -> Difference:
    name = keys.short(key)
    kind, id_, *_ = name.split(":")
    owner = id_
    if kind == "M" and keys.partition != CATALOG:
        owner = owners.get(id_) or _license_of(there) or _license_of(expected) or id_
    return Difference(place=keys.partition, name=name, owner=owner, there=there, expected=expected)


def _license_of(machine: bytes | None) -> str | None:
    try:
        return None if machine is None else read_machine(machine).license
    except ValueError:
        return None
