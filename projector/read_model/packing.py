"""How a batch travels to apply.lua: its keys and its arguments; pure."""

from __future__ import annotations

from collections.abc import Mapping

from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import Batch
from projector.views.documents import head_document


def packed(batch: Batch) -> tuple[list[str], list[object]]:
    """KEYS and ARGV of apply.lua."""
    sets = {key: value for key, value in batch.strings.items() if value is not None}
    deletes = [key for key, value in batch.strings.items() if value is None]
    head = Keys(batch.partition, batch.generation).head
    serving = keys.serving(batch.partition)
    message = " ".join((f"{batch.start} {batch.end}", *batch.changed))
    arguments: list[object] = [
        batch.start,
        head_document(batch.head),
        batch.generation,
        keys.positions(batch.partition),
        message,
        len(sets),
        len(deletes),
        len(batch.sorted_sets),
        *sets.values(),
    ]
    for members in batch.sorted_sets.values():
        _pack_members(members, arguments)
    return [head, serving, *sets, *deletes, *batch.sorted_sets], arguments


def _pack_members(members: Mapping[str | bytes, int | None], arguments: list[object]) -> None:
    """Numbers of added and removed members, score and member of each added, then the removed."""
    counts = len(arguments)
    arguments += (0, 0)
    removed = []
    for member, score in members.items():
        if score is None:
            removed.append(member)
        else:
            arguments += (score, member)
    arguments[counts : counts + 2] = (len(members) - len(removed), len(removed))
    arguments += removed
