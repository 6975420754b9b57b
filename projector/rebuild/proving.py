"""Proof that a generation is what the log says, before anything is answered from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.rebuild.building import RecordSource
from projector.rebuild.differences import Difference, beside_a_fold, beside_another, same_state
from projector.rebuild.found import Found
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.store import Store
from projector.views.digests import MIXED_VIEW, VIEW, Digests, Weigher, digests_at
from projector.views.documents import read_head

EQUAL_S: Final = 60.0
_AGAIN_S: Final = 0.02


class Proof(Struct, frozen=True, kw_only=True):
    """What the comparison with the generation that serves gave.

    `compared`: places whose state digests are equal. `documents`: how many of those have equal
    digests of the documents, too; of the others the view has changed. `frozen`: licenses frozen in
    one of the two only, by place, which were left out.
    """

    compared: int
    documents: int
    frozen: Mapping[int, Sequence[str]]


class NotProvedError(Exception):
    """A generation isn't what it has to be.

    `wrong`: in words, by place. `differences`: the documents, with both forms.
    """

    def __init__(
        self, text: str, wrong: Mapping[int, Sequence[str]], differences: Sequence[Difference]
    ) -> None:
        super().__init__(text)
        self.wrong = wrong
        self.differences = differences


class Proving:
    """Proves one generation of a ledger's places."""

    def __init__(
        self,
        store: Store,
        source: RecordSource,
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
            found |= await self._read(suspects, tell)
        wrong = {place: one.trouble for place, one in found.items() if one.trouble}
        stale = {place: one.stale for place, one in found.items() if one.stale}
        if not wrong and not stale:
            return found
        for place, licenses in stale.items():
            wrong.setdefault(place, []).append(
                f"the documents of licenses {', '.join(licenses[:5])} aren't as they are rendered"
            )
        raise NotProvedError(
            f"what is stored isn't what was folded, in {_named(wrong)}",
            wrong,
            await self._differences(wrong),
        )

    async def compare(self, other: str) -> Proof:
        """Compare with another generation at equal positions; both are folded on meanwhile.

        Raises `NotProvedError`, `ApartError`.
        """
        equal, documents = 0, 0
        frozen: dict[int, Sequence[str]] = {}
        wrong: dict[int, list[str]] = {}
        differences: list[Difference] = []
        for place in self.places:
            mine, theirs = await self._at_one_position(place, other)
            same_view = theirs is not None and {mine.view, theirs.view} == {VIEW}
            if theirs is not None and mine.state == theirs.state:
                if not same_view or mine.documents == theirs.documents:
                    equal += 1
                    documents += mine.documents == theirs.documents
                    continue
            elif theirs is None or theirs.view == MIXED_VIEW:
                same_view = False
            left_out = await self._frozen(place, other)
            found = await beside_another(
                self._store, place, self._generation, other, frozen=left_out
            )
            if not same_view:
                found = [one for one in found if not same_state(one)]
            if found:
                differences += found
                owners = sorted({one.owner for one in found})
                wrong[place] = [f"licenses {', '.join(owners[:10])} differ from what serves"]
            else:
                equal += 1
                frozen |= {place: left_out} if left_out else {}
        if wrong:
            raise NotProvedError(
                f"it differs from what serves, in {_named(wrong)}", wrong, differences
            )
        return Proof(compared=equal, documents=documents, frozen=frozen)

    async def _at_one_position(self, place: int, other: str) -> tuple[Digests, Digests | None]:
        """Digests of both generations at the same position."""
        mine, theirs = Keys(place, self._generation), Keys(place, other)
        deadline = time.monotonic() + EQUAL_S
        while True:
            head, digests, other_head, other_digests = await self._store.get(
                [mine.head, mine.digests, theirs.head, theirs.digests]
            )
            ours = 0 if head is None else read_head(head).position
            other_position = 0 if other_head is None else read_head(other_head).position
            if ours == other_position:
                known = digests_at(ours, digests)
                if known is None:
                    raise NotProvedError(
                        f"{_named([place])} has no digests of its position", {place: []}, ()
                    )
                return known, digests_at(ours, other_digests)
            if time.monotonic() > deadline:
                raise NotProvedError(
                    f"{_named([place])} is never where the generation is that serves: one of the "
                    "two isn't folded on",
                    {place: []},
                    (),
                )
            await asyncio.sleep(_AGAIN_S)

    async def _frozen(self, place: int, other: str) -> list[str]:
        """Licenses that are frozen in one of the two generations only."""
        names = [Keys(place, each).set_aside("frozen") for each in (self._generation, other)]
        mine, theirs = (
            {member.decode() for member, _ in members}
            for members in await self._store.members(names)
        )
        return sorted(mine ^ theirs)

    async def _read(self, places: Sequence[int], tell: Callable[[int], None]) -> dict[int, Found]:
        reading = ReadingBack(self._store, self._weigher, self._generation, places, tell)
        return await reading.run()

    async def _differences(self, wrong: Mapping[int, Sequence[str]]) -> list[Difference]:
        found: list[Difference] = []
        await self._discards.refresh()
        for place in wrong:
            if place != CATALOG:
                found += await beside_a_fold(
                    self._store,
                    self._source,
                    self._weigher,
                    place=place,
                    partitions=self._partitions,
                    generation=self._generation,
                    discarded=self._discards.of(place),
                )
        return found


def _named(places: Mapping[int, object] | Sequence[int]) -> str:
    named = ["the catalog" if place == CATALOG else f"partition {place}" for place in places]
    shown = ", ".join(named[:5])
    return shown if len(named) <= len(shown.split(", ")) else f"{shown} and {len(named) - 5} more"
