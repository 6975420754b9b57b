"""By which releases a generation was folded, and how its documents were rendered.

Both generations of an open window are folded on by whichever release runs
(docs/decisions/0038): so it is noted which did, and told to whoever wants to go back.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from projector.read_model.keys import Keys
from projector.rebuild.intent import Intent
from projector.rebuild.store import Store
from projector.views.digests import VIEW, digests_at
from projector.views.documents import read_head


class Kept(Struct, frozen=True, kw_only=True):
    """A generation, as releases have left it.

    `releases`: that have folded it on since the flip. `places`: how many there are; `otherwise`:
    how many of these hold documents that this release renders otherwise, or may.
    """

    generation: str
    releases: Sequence[str]
    places: int
    otherwise: int

    def as_built_by(self, release: str) -> bool:
        """Whether no other release had a part in it."""
        return not self.otherwise and set(self.releases) <= {release}


async def kept(store: Store, intent: Intent, places: Sequence[int]) -> list[Kept]:
    """Both generations of a rebuild that was flipped, that which was built first."""
    releases = await store.releases()
    found = []
    for generation in (intent.generation, intent.previous):
        names = [Keys(place, generation) for place in places]
        stored = await store.get([name for one in names for name in (one.head, one.digests)])
        found.append(
            Kept(
                generation=generation,
                releases=releases,
                places=len(places),
                otherwise=sum(
                    not _of_this_view(*pair) for pair in zip(stored[::2], stored[1::2], strict=True)
                ),
            )
        )
    return found


def _of_this_view(head: bytes | None, digests: bytes | None) -> bool:
    """Whether all documents of a place were rendered as this release does."""
    known = digests_at(0 if head is None else read_head(head).position, digests)
    return known is not None and known.view == VIEW
