"""Reading all that the fold of some records of a partition looks at, from the store."""

from __future__ import annotations

import asyncio

from projector.loaded import Documents
from projector.read_model.keys import Keys
from projector.read_model.port import ReadModel
from projector.reading import Reading


async def load(
    model: ReadModel, keys: Keys, documents: Documents, reading: Reading, elapsed_ms: int
) -> None:
    """Have at hand all that the reading names; mostly one round trip.

    `elapsed_ms`: the partition's elapsed clock at the reading's end.
    """
    documents.begin()
    fronts = documents.fronts(reading, elapsed_ms)
    missing = documents.missing(reading)
    if fronts:
        values, _ = await asyncio.gather(
            model.get(missing), _load_fronts(model, keys, documents, fronts)
        )
    else:
        values = await model.get(missing)
    documents.take(reading, values)
    await _load_fronts(model, keys, documents, documents.fronts(reading, elapsed_ms))
    while fronts := documents.more_fronts(reading, elapsed_ms):
        await _load_fronts(model, keys, documents, fronts)
    if due := documents.due(reading, elapsed_ms):
        names = [keys.command(*command) for command in due]
        documents.take_due(due, await model.get(names))


async def _load_fronts(
    model: ReadModel, keys: Keys, documents: Documents, wanted: dict[str, int]
) -> None:
    if not wanted:
        return
    sets = {keys.commands(id_): count for id_, count in wanted.items()}
    documents.take_fronts(wanted, await model.fronts(sets))
