"""How fast a builder is just now: a part of a partition folded and rendered, nothing written."""

from __future__ import annotations

import time
from contextlib import aclosing, suppress
from typing import Final

from msgspec import Struct

from projector.pieces import pieces
from projector.read_model.keys import Keys
from projector.rebuild.building import PIECE_KEYS, PIECE_SETS, RecordSource, memory_bytes
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import UNRENDERABLE, Rendering
from projector.rebuild.store import Store
from projector.views.digests import Weigher

SAMPLE_EVENTS: Final = 40_000
SAMPLE_S: Final = 3.0
_WRITE_TO_READ: Final = 2.0


class Pace(Struct, frozen=True, kw_only=True):
    """What a builder takes: seconds for a record, seconds for a key, bytes for a record.

    A record is read and folded. A key is rendered and written (taken for a key read, and some).
    `events`: how many records that is known of.
    """

    events: int
    event_s: float
    key_s: float
    event_bytes: float


async def pace_of(
    source: RecordSource,
    store: Store,
    weigher: Weigher,
    partition: int,
    *,
    partitions: int,
    generation: str,
    end: int,
) -> Pace:
    """Fold the first records of a partition and render what comes of them.

    In place of what a builder writes the same keys of the serving `generation` are read. Raises
    what reading the log and the replica raise.
    """
    folding, before = BulkFold(partition, partitions), memory_bytes()
    event_s = await _folding_s(folding, source, partition, min(SAMPLE_EVENTS, end))
    key_s = await _writing_s(Rendering(folding.held, Keys(partition, generation), weigher), store)
    grown = max(0, memory_bytes() - before)
    return Pace(
        events=folding.position,
        event_s=event_s,
        key_s=key_s,
        event_bytes=grown / max(1, folding.position),
    )


async def _folding_s(folding: BulkFold, source: RecordSource, partition: int, stop: int) -> float:
    """Seconds for a record; what it takes until the first ones arrive doesn't count."""
    began = 0.0
    async with aclosing(source.messages(partition, stop=stop)) as runs:
        async for records in runs:
            began = began or time.monotonic()
            folding.take(records)
            if time.monotonic() - began > SAMPLE_S:
                break
    return (time.monotonic() - began) / max(1, folding.position)


async def _writing_s(rendering: Rendering, store: Store) -> float:
    """Seconds for a key."""
    strings = (name for name, _ in rendering.strings())
    sets = (name for name, _ in rendering.sorted_sets())
    keys, reading_s, began = 0, 0.0, time.monotonic()
    # What can't be rendered is told when it is built.
    with suppress(*UNRENDERABLE):
        for names, size, read in (
            (strings, PIECE_KEYS, store.get),
            (sets, PIECE_SETS, store.lengths),
        ):
            for piece in pieces(names, size):
                at = time.monotonic()
                await read(piece)
                reading_s += time.monotonic() - at
                keys += len(piece)
    spent_s = time.monotonic() - began + (_WRITE_TO_READ - 1) * reading_s
    return spent_s / max(1, keys)
