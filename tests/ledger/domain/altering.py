"""A record in every wrong way: to see that schemas and types refuse the same."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

WRONG: list[object] = [None, True, 0, -1, 2**31, 2**63, 1.5, "", "x", "x" * 2049, [], {}, {"x": 1}]


def altered(record: Json) -> Iterator[tuple[str, Json]]:
    """The record with every field at every depth left out, replaced, and joined by another."""
    for path in [(), *_paths(record)]:
        for value in WRONG:
            yield f"{path} := {value!r}"[:80], _with(record, (*path, "extra"), value)
            if path:
                yield f"{path} = {value!r}"[:80], _with(record, path, value)
        if path:
            yield f"{path} left out", _without(record, path)


def _paths(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from _paths(inner, (*path, name))


def _with(record: Json, path: tuple[str, ...], value: object) -> Json:
    changed = copy.deepcopy(record)
    inner = changed
    for name in path[:-1]:
        if not isinstance(inner[name], dict):
            return record
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def _without(record: Json, path: tuple[str, ...]) -> Json:
    changed = copy.deepcopy(record)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return changed
