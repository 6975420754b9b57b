"""Deleting a generation, gently: what serves waits for a few keys at most."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from projector.read_model.keys import Keys
from projector.rebuild.store import Store

_PIECE: Final = 200
_PAUSE_S: Final = 0.002


async def collect(store: Store, generation: str, places: Sequence[int]) -> int:
    """Delete all keys of a generation; how many there were. Safe to repeat.

    The heads go first: whoever still folds it on writes nothing more then.
    """
    gone = await store.unlink([Keys(place, generation).head.encode() for place in places])
    async for names in store.scanned(f"{{*}}:{generation}:*"):
        for at in range(0, len(names), _PIECE):
            gone += await store.unlink(names[at : at + _PIECE])
            await asyncio.sleep(_PAUSE_S)
    return gone
