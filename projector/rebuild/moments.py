"""A moment at which two generations of a place can be compared, while both are folded on.

Digests are of one position each. Where both generations stand at the same one, those are compared;
where that doesn't come soon, since the log is busy, those of the last position at which both have
cut their digests.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from projector.read_model.keys import Keys
from projector.rebuild.differences import ApartError
from projector.rebuild.store import Store
from projector.views.digests import VIEW, Cut, Digests, digests_at
from projector.views.documents import Head, read_head

NOW_S: Final = 1.0
"""How long the same position is waited for; then cuts will do."""
STUCK_S: Final = 60.0
"""A generation that gets no further for so long isn't folded on."""
_AGAIN_S: Final = 0.02

By = Literal["now", "cut"]


class Moment(Struct, frozen=True, kw_only=True):
    """Digests of two generations at the same position.

    `mine`, `theirs`: None where a generation keeps none of its position. `same_view`: whether all
    answers of both are rendered as this release does. `by`: the digests are those of now, with
    both heads, or of the last cut.
    """

    position: int
    by: By
    mine: Digests | Cut | None
    theirs: Digests | Cut | None
    same_view: bool
    my_head: Head | None = None
    their_head: Head | None = None

    @property
    def same_state(self) -> bool:
        """Whether the digests of the state are there and equal."""
        mine, theirs = self.mine, self.theirs
        return mine is not None and theirs is not None and mine.state == theirs.state

    @property
    def same_documents(self) -> bool:
        """Whether the digests of the documents are there and equal."""
        mine, theirs = self.mine, self.theirs
        return mine is not None and theirs is not None and mine.documents == theirs.documents

    @property
    def equal(self) -> bool:
        """Whether all digests are equal that can be."""
        return self.same_state and (self.same_documents or not self.same_view)

    @property
    def clocks_apart(self) -> list[str]:
        """What of the heads differs: the chain, or the partition's clock."""
        mine, theirs = self.my_head, self.their_head
        if mine is None or theirs is None:
            if mine is not None or theirs is not None:
                return ["head"]
            cuts = (self.mine, self.theirs)
            chains = {one.chain for one in cuts if isinstance(one, Cut)}
            return ["chain"] if len(chains) > 1 else []
        if not mine.before_last or not theirs.before_last:
            # An older release keeps none.
            mine, theirs = replace(mine, before_last=""), replace(theirs, before_last="")
        names = ("chain", "before_last", "timestamp_ms", "elapsed_ms")
        return [name for name in names if getattr(mine, name) != getattr(theirs, name)]


async def moment(store: Store, mine: Keys, theirs: Keys) -> Moment:
    """Find a moment of two generations of a place. Raises `ApartError`, `ValueError`.

    `ValueError`: a head, or digests, can't be read.
    """
    began = time.monotonic()
    cuts: tuple[dict[int, Cut], dict[int, Cut]] = ({}, {})
    reached, moved = [-1, -1], [began, began]
    while True:
        documents = await store.get([mine.head, theirs.head, mine.digests, theirs.digests])
        heads = [None if one is None else read_head(one) for one in documents[:2]]
        positions = [0 if one is None else one.position for one in heads]
        kept = [digests_at(*one) for one in zip(positions, documents[2:], strict=True)]
        same_view = {None if one is None else one.view for one in kept} == {VIEW}
        if positions[0] == positions[1]:
            return Moment(
                position=positions[0],
                by="now",
                mine=kept[0],
                theirs=kept[1],
                same_view=same_view,
                my_head=heads[0],
                their_head=heads[1],
            )
        now = time.monotonic()
        for side, position in enumerate(positions):
            digests = kept[side]
            if digests is not None and digests.cut is not None:
                cuts[side][digests.cut.position] = digests.cut
            if position != reached[side]:
                reached[side], moved[side] = position, now
        both = cuts[0].keys() & cuts[1].keys()
        if both and now - began > NOW_S:
            cut = max(both)
            return Moment(
                position=cut,
                by="cut",
                mine=cuts[0][cut],
                theirs=cuts[1][cut],
                same_view=same_view,
            )
        if now - min(moved) > STUCK_S:
            raise ApartError(mine.partition)
        await asyncio.sleep(_AGAIN_S)
