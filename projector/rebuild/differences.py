"""What differs, and how: a generation beside another one, while both are folded on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import Struct

from projector.read_model.keys import CATALOG, FROZEN, Keys, tag
from projector.rebuild.store import MEMBERS, Page, Store
from projector.views.documents import read_head, read_machine

SHOWN_MAX: Final = 20
_PIECE: Final = 200
_LISTS: Final = 50
_TRIES: Final = 250
_AGAIN_S: Final = 0.02
DOCUMENTS: Final = frozenset("LMCEUS")
"""Kinds of keys that hold one document each."""
WEIGHED: Final = frozenset("KQ")
"""Kinds of lists whose members are in the digests."""
_Side = tuple[Store, Keys]
_Positions = tuple[int, int]
_Look = Callable[[Sequence[str]], Awaitable[tuple[_Positions, list[tuple[Any, Any]]]]]


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
    """A document or a member that differs: its name, whose it is, and both forms (None: none).

    `name`: without partition and generation; a member's is its list's, a space, and the member,
    and its forms are scores. `owner`: the license, or of the catalog the key's own id.
    """

    place: int
    name: str
    owner: str
    there: bytes | None
    expected: bytes | None


async def beside_another(
    store: Store,
    place: int,
    there: str,
    expected: str,
    *,
    expected_in: Store | None = None,
    frozen: Iterable[str] = (),
) -> list[Difference]:
    """What differs in a place between two generations that are folded on meanwhile: some of it.

    Takes what `apart` takes. `frozen`: licenses to leave out. Raises `ApartError`.
    """
    left_out, found = frozenset(frozen), list[Difference]()
    async with aclosing(apart(store, place, there, expected, expected_in=expected_in)) as all_:
        async for each in all_:
            if each.owner not in left_out:
                found.append(each)
                if len(found) == SHOWN_MAX:
                    break
    return found


async def apart(
    store: Store, place: int, there: str, expected: str, *, expected_in: Store | None = None
) -> AsyncGenerator[Difference, None]:
    """All that differs in a place between two generations that are folded on meanwhile.

    Documents, and members of the lists that are in the digests: remembered commands, and records
    set aside. `expected_in`: another replica, where what is expected is that one's. Both are read
    at the same position. Raises `ApartError`.
    """
    sides = (store, Keys(place, there)), (expected_in or store, Keys(place, expected))
    told: set[str] = set()
    for where, keys in sides:
        async with aclosing(where.scanned(f"{tag(place)}:{keys.generation}:*")) as scanned:
            async for names in scanned:
                short = [
                    keys.short(name.decode(errors="backslashreplace"))
                    for name in dict.fromkeys(names)
                ]
                for kinds, compared, size in (
                    (DOCUMENTS, _documents_apart, _PIECE),
                    (WEIGHED, _lists_apart, _LISTS),
                ):
                    chosen = [one for one in short if one[0] in kinds and one[1:2] == ":"]
                    for at in range(0, len(chosen), size):
                        for each in await compared(*sides, chosen[at : at + size]):
                            if each.name not in told:
                                told.add(each.name)
                                yield each


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


async def _documents_apart(one: _Side, other: _Side, names: Sequence[str]) -> list[Difference]:
    async def look(names: Sequence[str]) -> tuple[_Positions, list[tuple[Any, Any]]]:
        (head, *mine), (other_head, *theirs) = await _of_both(one, other, names)
        return (_position(head), _position(other_head)), list(zip(mine, theirs, strict=True))

    keys = one[1]
    return [
        _difference(keys, name, mine, theirs)
        for name, (mine, theirs) in (await _settled(keys.partition, names, look)).items()
    ]


async def _lists_apart(one: _Side, other: _Side, names: Sequence[str]) -> list[Difference]:
    """Members of lists that differ; of a long list those of the first pages that do."""
    found: list[Difference] = []
    left, start, keys = list(names), 0, one[1]
    while left:
        going: set[str] = set()

        async def look(
            names: Sequence[str], start: int = start, going: set[str] = going
        ) -> tuple[_Positions, list[tuple[Any, Any]]]:
            (head, mine), (other_head, theirs) = await _pages_of_both(one, other, names, start)
            pairs = list(zip(mine, theirs, strict=True))
            going.update(
                name for name, (page, _) in zip(names, pairs, strict=True) if len(page) == MEMBERS
            )
            return (_position(head), _position(other_head)), pairs

        unlike = await _settled(keys.partition, left, look)
        for name, (mine, theirs) in unlike.items():
            found += _members_apart(keys, name, mine, theirs)
        left = [name for name in left if name in going and name not in unlike]
        start += MEMBERS
    return found


async def _settled(place: int, names: Sequence[str], look: _Look) -> dict[str, tuple[Any, Any]]:
    """Of these names those of which two generations hold another thing at the same position.

    They do where both are there when they are read; or where what each holds was the same before,
    and one has come meanwhile to where the other was. `look` gives the positions, and what each
    holds. Raises `ApartError`.
    """
    first: dict[str, tuple[_Positions, tuple[Any, Any]]] = {}
    found: dict[str, tuple[Any, Any]] = {}
    for _ in range(_TRIES):
        now, pairs = await look(names)
        left = []
        for name, pair in zip(names, pairs, strict=True):
            if pair[0] == pair[1]:
                continue
            then, before = first.setdefault(name, (now, pair))
            met = before == pair and then[0] <= now[1] and then[1] <= now[0]
            if met or now[0] == now[1]:
                found[name] = pair
                continue
            if before != pair:
                first[name] = now, pair
            left.append(name)
        if not left:
            return found
        names = left
        await asyncio.sleep(_AGAIN_S)
    raise ApartError(place)


async def _of_both(
    one: _Side, other: _Side, names: Sequence[str]
) -> Sequence[Sequence[bytes | None]]:
    """Head and values of each; of one moment where both are in one store."""
    asked = [[keys.head, *(keys.prefix + name for name in names)] for _, keys in (one, other)]
    if one[0] is other[0]:
        values = await one[0].get([*asked[0], *asked[1]])
        return values[: len(asked[0])], values[len(asked[0]) :]
    return await asyncio.gather(one[0].get(asked[0]), other[0].get(asked[1]))


async def _pages_of_both(
    one: _Side, other: _Side, names: Sequence[str], start: int
) -> Sequence[tuple[bytes | None, Sequence[Page]]]:
    """Head and a page of each list of each; of one moment where both are in one store."""
    asked = [[keys.prefix + name for name in names] for _, keys in (one, other)]
    heads = [one[1].head, other[1].head]
    if one[0] is other[0]:
        (head, other_head), pages = await one[0].paged(heads, [*asked[0], *asked[1]], start)
        return (head, pages[: len(names)]), (other_head, pages[len(names) :])
    ([head], mine), ([other_head], theirs) = await asyncio.gather(
        one[0].paged(heads[:1], asked[0], start), other[0].paged(heads[1:], asked[1], start)
    )
    return (head, mine), (other_head, theirs)


def _members_apart(keys: Keys, name: str, mine: Page, theirs: Page) -> Iterator[Difference]:
    """Members that differ, as far as both pages go."""
    scores, others = dict(mine), dict(theirs)
    ends = [(page[-1][1], page[-1][0]) for page in (mine, theirs) if len(page) == MEMBERS]
    owner = name.partition(":")[2]
    for member in scores | others:
        score, other = scores.get(member), others.get(member)
        lower = min(each for each in (score, other) if each is not None)
        if score == other or (ends and (lower, member) > min(ends)):
            continue
        told = member.decode(errors="backslashreplace")
        yield Difference(
            place=keys.partition,
            name=f"{name} {told}",
            owner=told if owner == FROZEN else owner,
            there=None if score is None else b"%d" % score,
            expected=None if other is None else b"%d" % other,
        )


def _position(head: bytes | None) -> int:
    return 0 if head is None else read_head(head).position


def _difference(keys: Keys, name: str, there: bytes | None, expected: bytes | None) -> Difference:
    kind, id_, *_ = name.split(":")
    owner = id_
    if kind == "M" and keys.partition != CATALOG:
        owner = license_of(there) or license_of(expected) or id_
    return Difference(place=keys.partition, name=name, owner=owner, there=there, expected=expected)
