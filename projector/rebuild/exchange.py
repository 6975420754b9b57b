"""Which generation serves: the flip, the way back, and the end of the choice.

Each partition changes over by itself, at once; what was killed in between is taken up where it was,
or turned round. While the window is open the projector folds both generations on, so that the way
back leads to the present and not to the past.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from projector.rebuild.collecting import collect
from projector.rebuild.intent import Closed, Intent
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.store import Store
from projector.release import release

FLIP_S: Final = 60.0
SEEN_S: Final = 1.5
_AGAIN_S: Final = 0.01


async def flip(site: Site, intent: Intent, *, window_s: int) -> Intent:
    """Have the generation serve that was built. Raises `RebuildRefusedError`."""
    refuse_flip(intent)
    return await _exchange(site, replace(intent, phase="flipping"), window_s)


async def undo(site: Site, intent: Intent, *, window_s: int) -> Intent:
    """Have the generation serve that did before. Raises `RebuildRefusedError`."""
    refuse_undo(intent)
    return await _exchange(site, replace(intent, phase="undoing"), window_s)


def refuse_flip(intent: Intent) -> None:
    """Raise `RebuildRefusedError` where what was built can't be flipped as things stand."""
    _refuse_collected(intent)
    if intent.phase == "building":
        raise RebuildRefusedError("it isn't proved yet: `ledger rebuild start` or `run` goes on")


def refuse_undo(intent: Intent) -> None:
    """Raise `RebuildRefusedError` where there is nothing to go back to."""
    _refuse_collected(intent)
    if intent.phase in {"building", "proved"}:
        raise RebuildRefusedError("nothing was flipped, so nothing is to be undone")


async def finish(site: Site, intent: Intent) -> int:
    """Delete what doesn't serve, and end the rebuild; how many keys went.

    Of a rebuild that was never flipped that is what it had built. Raises `RebuildRefusedError`.
    """
    if intent.phase in {"flipping", "undoing"}:
        raise RebuildRefusedError(
            "some partitions may be served from one generation and some from the other: "
            "`ledger rebuild flip` or `ledger rebuild undo` first"
        )
    return await drop(site.store, intent, site.places)


async def drop(store: Store, intent: Intent, places: Sequence[int]) -> int:
    """Delete the generation that serves no place, and end the rebuild; how many keys went.

    The caller is alone. What was killed meanwhile is safe to repeat. Raises `RebuildRefusedError`
    where there is none.
    """
    serving = set((await store.serving(places)).values())
    both = (intent.dropped, intent.generation, intent.previous)
    dropped = next((one for one in both if one and one not in serving), "")
    if not dropped:
        raise RebuildRefusedError(
            f"generations {intent.generation} and {intent.previous} both serve some partitions"
        )
    now_ms = await store.time_ms()
    until_ms = min(intent.until_ms, now_ms)
    await store.intend(replace(intent, phase="collecting", dropped=dropped, until_ms=until_ms))
    # Projectors see by then that they are to keep it no more.
    await asyncio.sleep(SEEN_S)
    gone = await collect(store, dropped, places)
    await store.close_rebuild(
        Closed(
            dropped=dropped,
            serves=next(iter(serving), ""),
            flipped=intent.until_ms > 0,
            at_ms=until_ms or now_ms,
        )
    )
    return gone


def _refuse_collected(intent: Intent) -> None:
    if intent.phase == "collecting":
        raise RebuildRefusedError(
            f"generation {intent.dropped} is being deleted, so it can serve no more: a projector "
            "goes on with that, and so does `ledger rebuild finish` or `cancel`"
        )


async def _exchange(site: Site, intent: Intent, window_s: int) -> Intent:
    old, new = intent.previous, intent.generation
    if intent.phase == "undoing":
        old, new = new, old
    intent = replace(intent, dropped="")
    await site.store.intend(intent)
    await site.store.note_release(release())
    await _change_over(site, old, new)
    until_ms = await site.store.time_ms() + window_s * 1000
    opened = replace(intent, phase="window", until_ms=until_ms)
    await site.store.intend(opened)
    return opened


async def _change_over(site: Site, old: str, new: str) -> None:
    deadline = time.monotonic() + FLIP_S
    left = list(site.places)
    while left:
        for place in list(left):
            found = await site.store.flip(place, old, new)
            if found == "other":
                raise RebuildRefusedError(
                    f"partition {place} is served from neither generation {old} nor {new}"
                )
            if found == "serves":
                left.remove(place)
        if left and time.monotonic() > deadline:
            raise RebuildRefusedError(
                f"generation {new} stays behind what serves in {len(left)} partitions: nobody "
                "folds it on. See whether the projector runs; the same command again goes on"
            )
        if left:
            await asyncio.sleep(_AGAIN_S)
