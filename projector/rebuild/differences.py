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
DOCUMENTS: Final = frozenset("LMCEUS")
"""Kinds of keys that hold one document each."""
_Side = tuple[Store, Keys]


def named(place: int) -> str:
    """Name of a place, for people."""
    return "the catalog" if place == CATALOG else f"partition {place}"


class ApartError(Exception):
    """Two generations were never seen at the same position."""

    def __init__(self, place: int) -> None:
        super().__init__(
            f"the two generations of {named(place)} are never at the same position, so they can't "
            "be compared: see whether both are folded on"
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
    store: Store,
    place: int,
    there: str,
    expected: str,
    *,
    expected_in: Store | None = None,
    frozen: Iterable[str] = (),
) -> list[Difference]:
    """Documents of a place that differ between two generations that are folded on meanwhile.

    `expected_in`: another replica, where what is expected is that one's. `frozen`: licenses to
    leave out. Both are read at the same position. Raises `ApartError`.
    """
    one, other = (store, Keys(place, there)), (expected_in or store, Keys(place, expected))
    left_out, found = frozenset(frozen), dict[str, Difference]()
    for where, keys in (one, other):
        async for names in where.scanned(f"{tag(place)}:{keys.generation}:*"):
            short = [keys.short(name.decode()) for name in dict.fromkeys(names)]
            short = [name for name in short if name[0] in DOCUMENTS and name[1:2] == ":"]
            for at in range(0, len(short), _PIECE):
                for each in await _compared(one, other, short[at : at + _PIECE]):
                    if each.owner not in left_out:
                        found.setdefault(each.name, each)
            if len(found) >= SHOWN_MAX:
                return list(found.values())[:SHOWN_MAX]
    return list(found.values())


def license_of(machine: bytes | None) -> str | None:
    """License of a machine's document; None where that can't be read."""
    try:
        return None if machine is None else read_machine(machine).license
    except ValueError:
        return None


def same_state(difference: Difference) -> bool:
    """Whether only the ready-made answer differs: another view of the same state."""
    there, expected = difference.there, difference.expected
    if there is None or expected is None or not difference.name.startswith("L:"):
        return False
    return there.partition(b"\n")[0] == expected.partition(b"\n")[0]


async def _compared(one: _Side, other: _Side, names: Sequence[str]) -> list[Difference]:
    for _ in range(_TRIES):
        (head, *mine), (other_head, *theirs) = await _of_both(one, other, names)
        heads, pairs = (head, other_head), list(zip(names, mine, theirs, strict=True))
        names = [name for name, mine, theirs in pairs if mine != theirs]
        if not names:
            return []
        positions = {None if head is None else read_head(head).position for head in heads}
        if len(positions) == 1:
            return [
                _difference(one[1], one[1].prefix + name, mine, theirs, {})
                for name, mine, theirs in pairs
                if mine != theirs
            ]
        await asyncio.sleep(_AGAIN_S)
    raise ApartError(one[1].partition)


async def _of_both(
    one: _Side, other: _Side, names: Sequence[str]
) -> Sequence[Sequence[bytes | None]]:
    """Head and values of each; of one moment where both are in one store."""
    asked = [[keys.head, *(keys.prefix + name for name in names)] for _, keys in (one, other)]
    if one[0] is other[0]:
        values = await one[0].get([*asked[0], *asked[1]])
        return values[: len(asked[0])], values[len(asked[0]) :]
    return await asyncio.gather(one[0].get(asked[0]), other[0].get(asked[1]))


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
        owner = owners.get(id_) or license_of(there) or license_of(expected) or id_
    return Difference(place=keys.partition, name=name, owner=owner, there=there, expected=expected)
