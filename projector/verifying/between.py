"""Two replicas beside each other, while both serve and go on: by the digests that they keep.

Those are of one position each, so a moment is waited for at which both stand at the same one; where
that doesn't come soon, the last position that both have cut their digests at is taken. It costs a
few reads. Where digests differ, or one of the two keeps none, all documents of both are compared.

Digests say what was folded. What became of documents since then they don't say: `beside` does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from projector.read_model.keys import FIRST_GENERATION, FROZEN, Keys
from projector.rebuild.differences import (
    SHOWN_MAX,
    ApartError,
    Difference,
    beside_another,
    same_state,
)
from projector.rebuild.store import Store
from projector.verifying.patience import patiently
from projector.views.digests import VIEW, Cut, Digests, digests_at
from projector.views.documents import read_head

NOW_S: Final = 1.0
"""How long a moment is waited for at which both stand at one position; then cuts will do."""
EQUAL_S: Final = 30.0
_AGAIN_S: Final = 0.02
_LATER_S: Final = 0.25

By = Literal["now", "cut", "documents"]


class Between(Struct, frozen=True, kw_only=True):
    """What came of a place.

    `position`: at which both were compared, None where that was never the same; `by`: by the
    digests of now, of the last cut, or by the documents, since one keeps no digests. `wrong`: in
    words. `differences`: documents, the second replica's as `expected`. `frozen`: licenses that
    are frozen in one only, which were left out.
    """

    place: int
    position: int | None
    by: By
    wrong: Sequence[str] = ()
    differences: Sequence[Difference] = ()
    frozen: Sequence[str] = ()

    @property
    def equal(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong and not self.differences


class _Standing(NamedTuple):
    """A replica at one moment; `digests`: None where it keeps none of its position."""

    keys: Keys
    position: int
    chain: str
    digests: Digests | None


async def compare_all(
    one: Store,
    other: Store,
    places: Sequence[int],
    names: tuple[str, str],
    tell: Callable[[Between], None],
) -> list[Between]:
    """Compare places of two replicas at once: so those that never meet are waited for together.

    `tell` is told of each. Raises `ReadModelUnavailableError`.
    """
    turns = asyncio.Semaphore()

    async def told(place: int) -> Between:
        found = await compare(one, other, place, names, turns)
        tell(found)
        return found

    tasks = [asyncio.create_task(told(place)) for place in places]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def compare(
    one: Store,
    other: Store,
    place: int,
    names: tuple[str, str] = ("one", "the other"),
    turns: asyncio.Semaphore | None = None,
) -> Between:
    """Compare a place of two replicas, named so. Raises `ReadModelUnavailableError`.

    `turns`: where all documents are compared, one after the other does.
    """
    turns = turns or asyncio.Semaphore()
    began = time.monotonic()
    while True:
        mine, theirs = await asyncio.gather(_standing(one, place), _standing(other, place))
        waited_s = time.monotonic() - began
        if mine.position == theirs.position:
            return await _at_one(one, other, mine, theirs, turns)
        cuts = _cuts(mine, theirs)
        if cuts is not None and waited_s > NOW_S:
            return await _by_cuts(one, other, (mine, theirs), cuts, turns)
        if waited_s > EQUAL_S:
            wrong = [_behind((mine.position, theirs.position), names)]
            return Between(place=place, position=None, by="now", wrong=wrong)
        await asyncio.sleep(_AGAIN_S if waited_s <= NOW_S else _LATER_S)


def _behind(positions: tuple[int, int], names: tuple[str, str]) -> str:
    (least, behind), (most, before) = sorted(zip(positions, names, strict=True))
    return (
        f"{behind} is behind: it stands at {least}, {before} at {most}, and they are never at the "
        f"same position: it isn't folded on (waited {EQUAL_S:.0f} s)"
    )


async def _standing(store: Store, place: int) -> _Standing:
    serving = await patiently(lambda: store.serving([place]))
    keys = Keys(place, serving.get(place, FIRST_GENERATION))
    document, kept = await patiently(lambda: store.get([keys.head, keys.digests]))
    if document is None:
        return _Standing(keys, 0, "", digests_at(0, kept))
    head = read_head(document)
    return _Standing(keys, head.position, head.chain, digests_at(head.position, kept))


async def _at_one(
    one: Store, other: Store, mine: _Standing, theirs: _Standing, turns: asyncio.Semaphore
) -> Between:
    place, position = mine.keys.partition, mine.position
    if mine.chain != theirs.chain:
        wrong = [f"they have folded different logs up to {position}"]
        return Between(place=place, position=position, by="now", wrong=wrong)
    if mine.digests is None or theirs.digests is None:
        async with turns:
            return await _by_documents(one, other, (mine, theirs), position, "documents", [])
    wrong = _apart(mine.digests, theirs.digests, same_view=_same_view(mine, theirs))
    if not wrong:
        return Between(place=place, position=position, by="now")
    async with turns:
        return await _by_documents(one, other, (mine, theirs), position, "now", wrong)


async def _by_cuts(
    one: Store,
    other: Store,
    both: tuple[_Standing, _Standing],
    cuts: tuple[Cut, Cut],
    turns: asyncio.Semaphore,
) -> Between:
    mine, theirs = cuts
    place, position = both[0].keys.partition, mine.position
    if mine.chain != theirs.chain:
        wrong = [f"they have folded different logs up to {position}"]
        return Between(place=place, position=position, by="cut", wrong=wrong)
    wrong = _apart(mine, theirs, same_view=_same_view(*both))
    if not wrong:
        return Between(place=place, position=position, by="cut")
    async with turns:
        return await _by_documents(one, other, both, position, "cut", wrong)


async def _by_documents(
    one: Store,
    other: Store,
    both: tuple[_Standing, _Standing],
    position: int,
    by: By,
    wrong: Sequence[str],
) -> Between:
    mine, theirs = both
    place = mine.keys.partition
    frozen = await _frozen(one, other, mine.keys, theirs.keys)
    try:
        found = await beside_another(
            one,
            place,
            mine.keys.generation,
            theirs.keys.generation,
            expected_in=other,
            frozen=frozen,
        )
    except ApartError as error:
        return Between(place=place, position=position, by=by, wrong=[*wrong, str(error)])
    if not _same_view(mine, theirs):
        found = [each for each in found if not same_state(each)]
    return Between(
        place=place,
        position=position,
        by=by,
        # Digests that differ are told by what is frozen in one only, where nothing else differs.
        wrong=[] if frozen and not found else wrong,
        differences=found[:SHOWN_MAX],
        frozen=frozen,
    )


async def _frozen(one: Store, other: Store, mine: Keys, theirs: Keys) -> list[str]:
    """Licenses that are frozen in one of the two only."""
    [[here], [there]] = await asyncio.gather(
        one.members([mine.set_aside(FROZEN)]), other.members([theirs.set_aside(FROZEN)])
    )
    lists = ({member.decode() for member, _ in each} for each in (here, there))
    return sorted(set.symmetric_difference(*lists))


def _cuts(mine: _Standing, theirs: _Standing) -> tuple[Cut, Cut] | None:
    """Cuts of both at the same position."""
    if mine.digests is None or theirs.digests is None:
        return None
    one, other = mine.digests.cut, theirs.digests.cut
    if one is None or other is None or one.position != other.position:
        return None
    return one, other


def _same_view(mine: _Standing, theirs: _Standing) -> bool:
    views = {None if one.digests is None else one.digests.view for one in (mine, theirs)}
    return views == {VIEW}


def _apart(mine: Digests | Cut, theirs: Digests | Cut, *, same_view: bool) -> list[str]:
    found = []
    if mine.state != theirs.state:
        found.append(f"the digests of their state at {mine.position} differ")
    if same_view and mine.documents != theirs.documents:
        found.append(f"the digests of their documents at {mine.position} differ")
    return found
