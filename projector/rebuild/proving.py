"""Proof that a generation is what the log says, before anything is answered from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from random import getrandbits
from typing import Final

import msgspec

from projector.discards import Discards
from projector.read_model.keys import CATALOG, FROZEN, Keys
from projector.rebuild.differences import (
    SHOWN_MAX,
    ApartError,
    Difference,
    apart,
    named,
    same_state,
)
from projector.rebuild.found import Found
from projector.rebuild.moments import Moment, moment
from projector.rebuild.proof import Changes, NotProvedError, Proof, listed, places_named
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.store import Store
from projector.verifying.beside import NotComparedError, Verifying
from projector.verifying.reading import OneGeneration, Source
from projector.views.digests import Weigher
from projector.views.documents import head_document

SETTLED_S: Final = 1.0
"""A retry of records set aside changes what a generation holds, and not its position: the other
generation does the same soon.
"""


class _Place:
    """What came of a place beside what serves."""

    def __init__(self, seen: Moment) -> None:
        self.seen = seen
        self.count = 0
        self.differences: list[Difference] = []
        self.owners: dict[str, None] = {}
        self.wrong: list[str] = []
        self.unseen = False
        """The two were never at one position while documents were compared."""
        self.frozen: Sequence[str] = ()

    def take(self, difference: Difference) -> None:
        """Note what differs; both forms of the first ones only."""
        self.count += 1
        self.owners[difference.owner] = None
        if len(self.differences) < SHOWN_MAX:
            self.differences.append(difference)


class Proving:
    """Proves one generation of a ledger's places."""

    def __init__(
        self,
        store: Store,
        source: Source,
        weigher: Weigher,
        discards: Discards,
        *,
        partitions: int,
        generation: str,
    ) -> None:
        self._store = store
        self._source = source
        self._weigher = weigher
        self._discards = discards
        self._partitions = partitions
        self._generation = generation
        self._salt = getrandbits(32)

    @property
    def places(self) -> list[int]:
        """All partitions, then the catalog."""
        return [*range(self._partitions), CATALOG]

    async def read_back(self, tell: Callable[[int], None] = lambda _: None) -> dict[int, Found]:
        """Read all that is stored; nobody folds it on meanwhile. Raises `NotProvedError`."""
        found = await self._read(self.places, tell)
        suspects = [place for place, one in found.items() if one.trouble or one.stale]
        if suspects:
            # A scan may have named a key twice: once more.
            stale = [license_ for one in found.values() for license_ in one.stale]
            found |= await self._read(suspects, tell, stale)
        wrong = {place: one.trouble for place, one in found.items() if one.trouble}
        for place, one in found.items():
            if one.stale:
                wrong.setdefault(place, []).append(
                    f"the documents of licenses {listed(one.stale)} aren't as they are rendered"
                )
        if wrong:
            text = "what is stored isn't what was folded"
            await self._beside_the_log(wrong, wrong, text, still=True)
        return found

    async def by_log(self, tell: Callable[[int], None] = lambda _: None) -> None:
        """Compare all that is stored with a fresh fold of the log; it is folded on meanwhile.

        Raises `NotProvedError`.
        """
        text = "it isn't what the log says"
        await self._beside_the_log(self.places, {}, text, still=False, tell=tell)

    async def compare(self, other: str) -> Proof:
        """Compare with another generation at equal positions; both are folded on meanwhile.

        Raises `NotProvedError`.
        """
        places = {place: await self._compared(place, other, whole=False) for place in self.places}
        wrong = {place: one.wrong for place, one in places.items() if one.wrong}
        if wrong:
            raise NotProvedError(
                f"it differs from what serves, in {places_named(wrong)}",
                wrong,
                [each for one in places.values() for each in one.differences],
                against="what serves",
                count=sum(one.count for one in places.values()),
            )
        return _proof(places)

    async def changes(self, other: str) -> Proof:
        """See what will be another than in the generation that serves; it may be anything.

        Raises `NotProvedError` where that can't be seen.
        """
        places = {place: await self._compared(place, other, whole=True) for place in self.places}
        unseen = {place: one.wrong for place, one in places.items() if one.unseen}
        if unseen:
            raise NotProvedError(
                f"it can't be compared with what serves, in {places_named(unseen)}",
                unseen,
                against="what serves",
            )
        changes = Changes(
            owners={place: list(one.owners) for place, one in places.items() if one.count},
            count=sum(one.count for one in places.values()),
            differences=[each for one in places.values() for each in one.differences],
        )
        return _proof(places, changes)

    async def _compared(self, place: int, other: str, *, whole: bool) -> _Place:
        """Compare a place with another generation.

        `whole`: also what is frozen in one of the two only.
        """
        mine, theirs = Keys(place, self._generation), Keys(place, other)
        try:
            seen = await moment(self._store, mine, theirs)
            if not seen.equal:
                await asyncio.sleep(SETTLED_S)
                seen = await moment(self._store, mine, theirs)
        except ApartError:
            raise NotProvedError(
                f"{named(place)} is never where the generation is that serves: one of the two "
                "isn't folded on",
                {place: []},
                against="what serves",
            ) from None
        except ValueError:
            raise NotProvedError(
                f"the head or the digests of {named(place)} can't be read",
                {place: []},
                against="what serves",
            ) from None
        if seen.mine is None:
            raise NotProvedError(
                f"{named(place)} has no digests of its position", {place: []}, against="the log"
            )
        found = _Place(seen)
        if seen.clocks_apart:
            found.wrong.append(
                f"its {', '.join(seen.clocks_apart)} at {seen.position} differ from what serves"
            )
            found.take(_of_heads(place, seen))
        if not seen.equal:
            await self._by_documents(found, place, other, whole=whole)
        return found

    async def _by_documents(self, found: _Place, place: int, other: str, *, whole: bool) -> None:
        seen, before = found.seen, found.count
        if not whole:
            found.frozen = await self._frozen(place, other)
        left_out = frozenset(found.frozen)
        owners: dict[str, None] = {}
        try:
            async with aclosing(apart(self._store, place, self._generation, other)) as differing:
                async for each in differing:
                    if each.owner in left_out or (same_state(each) and not seen.same_view):
                        continue
                    owners[each.owner] = None
                    found.take(each)
        except ApartError as error:
            found.unseen = True
            found.wrong.append(
                f"the digests at {seen.position} differ from those of what serves, and {error}"
            )
        if owners:
            whose = "ids" if place == CATALOG else "licenses"
            found.wrong.append(f"{whose} {listed(sorted(owners))} differ from what serves")
        elif found.count == before and not found.wrong and seen.theirs is not None and not left_out:
            found.wrong.append(
                f"the digests at {seen.position} differ from those of what serves, and no document "
                "and no remembered command does: what serves keeps another sum than that of what "
                "it holds, or held something else just before"
            )
            found.take(_of_digests(place, seen))

    async def _frozen(self, place: int, other: str) -> list[str]:
        """Licenses that are frozen in one of the two generations only."""
        names = [Keys(place, each).set_aside(FROZEN) for each in (self._generation, other)]
        mine, theirs = (
            {member.decode(errors="backslashreplace") for member, _ in members}
            for members in await self._store.members(names)
        )
        return sorted(mine ^ theirs)

    async def _read(
        self, places: Sequence[int], tell: Callable[[int], None], also: Sequence[str] = ()
    ) -> dict[int, Found]:
        return await ReadingBack(
            self._store,
            self._weigher,
            self._generation,
            places,
            tell,
            salt=self._salt,
            also=also,
        ).run()

    async def _beside_the_log(
        self,
        places: Iterable[int],
        known: Mapping[int, Sequence[str]],
        text: str,
        *,
        still: bool,
        tell: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Compare with a fresh fold of the log. Raises `NotProvedError` with all that is wrong.

        `known`: what is wrong already, by place. `still`: nobody folds it on meanwhile.
        """
        wrong = {place: list(lines) for place, lines in known.items()}
        differences: list[Difference] = []
        count = 0
        verifying = Verifying(
            OneGeneration(self._store, self._generation, still=still),
            self._source,
            self._weigher,
            self._discards,
            partitions=self._partitions,
            whole=True,
        )
        for place in places:
            try:
                found = await verifying.place(place, tell)
            except NotComparedError as error:
                wrong.setdefault(place, []).append(str(error))
                continue
            lines = list(found.wrong)
            if found.differing:
                owners = sorted({one.owner for one in found.differences})
                lines.append(
                    f"{found.differing} documents and members aren't what a fresh fold of the log "
                    f"has, of {listed(owners)}"
                    + (" and others" if found.differing > len(found.differences) else "")
                )
            if lines:
                wrong.setdefault(place, []).extend(lines)
            differences += found.differences
            count += found.differing
        if wrong:
            raise NotProvedError(
                f"{text}, in {places_named(wrong)}",
                wrong,
                differences,
                against="the log",
                count=count,
            )


def _proof(places: Mapping[int, _Place], changes: Changes | None = None) -> Proof:
    equal = [one for one in places.values() if not one.count and one.seen.equal]
    return Proof(
        compared=len(equal),
        documents=sum(one.seen.same_documents for one in equal),
        by_cut=sum(one.seen.by == "cut" for one in equal),
        one_by_one=sum(not one.count and not one.seen.equal for one in places.values()),
        frozen={place: one.frozen for place, one in places.items() if one.frozen},
        changes=changes,
    )


def _of_heads(place: int, seen: Moment) -> Difference:
    if seen.by == "cut":
        return _of_digests(place, seen)
    there, expected = (
        None if one is None else head_document(msgspec.structs.replace(one, level_at_ms=0))
        for one in (seen.my_head, seen.their_head)
    )
    return Difference(place=place, name="head", owner="head", there=there, expected=expected)


def _of_digests(place: int, seen: Moment) -> Difference:
    there, expected = (
        None if one is None else msgspec.json.encode(one) for one in (seen.mine, seen.theirs)
    )
    return Difference(place=place, name="digests", owner="digests", there=there, expected=expected)
