"""Whether somebody folds on what serves, as is needed before anything else is to serve."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from projector.read_model.keys import Keys
from projector.rebuild.site import RebuildRefusedError, Site
from projector.views.documents import read_head

FOLDED_ON_S: Final = 15.0
"""What is folded on was level once within it; a projector that was just started takes some."""
_AGAIN_S: Final = 0.05


async def refuse_where_nobody_folds_on(site: Site) -> None:
    """Raise `RebuildRefusedError` where what serves isn't level within some seconds.

    Who folds that on will fold on whatever serves; where nobody does, its age would only grow.
    """
    store, places = site.store, site.places
    began_ms = await store.time_ms()
    deadline = time.monotonic() + FOLDED_ON_S
    while True:
        serving = await store.serving(places)
        names = [Keys(place, generation).head for place, generation in serving.items()]
        level = dict.fromkeys(places, 0)
        for place, head in zip(serving, await store.get(names), strict=True):
            level[place] = 0 if head is None else read_head(head).level_at_ms
        last = min(level.values())
        if last > began_ms:
            return
        if time.monotonic() > deadline:
            count = sum(each <= began_ms for each in level.values())
            since = f"for {(await store.time_ms() - last) / 1000:.0f} s" if last else "ever"
            raise RebuildRefusedError(
                f"what serves isn't level in {count} of {len(places)} places, one of them not "
                f"{since}: no projector folds it on, and none would fold on what serves next. "
                "Start the replica's projector (`ledger doctor` says what is missing)"
            )
        await asyncio.sleep(_AGAIN_S)
