"""Batches to write, and looks at what was written."""

from __future__ import annotations

from projector.read_model.keys import Keys
from projector.read_model.port import Batch, LevelMark, ReadModel
from projector.views.documents import Head, read_head

NAMES = Keys(3)
LICENSE, MACHINE, COMMAND = NAMES.license("l"), NAMES.machine("m"), NAMES.command("l", "c")
INDEX, MEMORY = NAMES.machines_of_license("l"), NAMES.commands("l")


def batch(start: int = 0, end: int = 5, **changes: object) -> Batch:
    values: dict[str, object] = {
        "partition": 3,
        "start": start,
        "end": end,
        "head": Head(position=end, timestamp_ms=1_000, elapsed_ms=9, chain="00" * 16),
        "strings": {},
        "sorted_sets": {},
        "changed": [],
        **changes,
    }
    return Batch(**values)  # type: ignore[arg-type]


async def head_of(model: ReadModel) -> Head:
    [document] = await model.get([NAMES.head])
    return Head() if document is None else read_head(document)


async def positions(model: ReadModel, *marks: LevelMark) -> list[int]:
    return [standing.position for standing in await model.level(marks)]


async def members(model: ReadModel, key: str) -> list[tuple[bytes, int]]:
    return (await model.fronts({key: 10_000}))[key]
