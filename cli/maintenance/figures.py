"""Formulas of what a REINDEX needs on the disk; pure. Sizes in bytes, rows may be fractions.

Where they come from and how far off they were measured to be: docs/operations/maintenance.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, log2
from typing import Final

from msgspec import Struct

HEADER: Final = 40
"""Of a page, what no index entry can have: its header and the tree's own links."""
ITEM: Final = 4
"""Of each entry: the pointer to it in its page, and its length in a sort's file."""
ROW_REFERENCE: Final = 6
"""A further row under the same key (deduplication, Postgres 13)."""
POSTING_SHARE: Final = 0.1
"""Of a page, what one key's rows fill before the next entry begins."""
IN_MEMORY: Final = 24
"""Beside an entry in a sort's memory."""
VALIDATED: Final = 12
"""Of each row, what the second pass of CONCURRENTLY sorts."""
WAL_SHARE: Final = 0.92
"""Of a new index, what is written to the WAL: pages without their free room."""
GATE: Final = 1.25
GATE_SEGMENTS: Final = 2
SHRINKS_TO: Final = 0.7
"""Of its size now, what an index has at least after it was built anew, unless it is measured."""
WORKER_MEMORY: Final = 32 << 20
"""Postgres has no more workers than leave so much of `maintenance_work_mem` to each."""

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)
_UNITS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


class Step(Struct, frozen=True, kw_only=True):
    """One index of a REINDEX: what it adds until the commit, and what its sort takes meanwhile."""

    new_bytes: float
    sort_bytes: float


def read_size(text: str) -> int:
    """Bytes of 300G, 1.5 TiB, 512MB or 1048576; units are of 1,024, as Postgres has them.

    Raises ValueError.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(float(found[1]) * (1 << _UNITS[found[2].upper()]))


def by_rows(rows: float, entry_bytes: float, *, page: int, fillfactor: int) -> float:
    """Size of a new B-tree that has an entry for each row."""
    room = (page - HEADER) * fillfactor / 100
    return ceil(rows * (entry_bytes + ITEM) / room + 1) * page


def by_keys(rows: float, keys: float, entry_bytes: float, *, page: int, fillfactor: int) -> float:
    """Size of a new B-tree in which the rows of one key share an entry."""
    keys = max(1.0, min(rows, keys))
    each = max(1.0, (page * POSTING_SHARE - entry_bytes) / ROW_REFERENCE)
    entries = keys * ceil(rows / keys / each)
    if rows / keys < 2:  # noqa: PLR2004 - a row alone has no list
        return by_rows(rows, entry_bytes, page=page, fillfactor=fillfactor)
    room = (page - HEADER) * fillfactor / 100
    return ceil((entries * (entry_bytes + ITEM) + rows * ROW_REFERENCE) / room + 1) * page


def by_leaves(leaf_pages: int, density: float, *, page: int, fillfactor: int) -> float:
    """Size of a new B-tree by how full the leaves are now (`density` in percent)."""
    return ceil(leaf_pages * density / fillfactor + 1) * page


def sort_bytes(rows: float, entry_bytes: float, *, memory: int, workers: int) -> float:
    """What the sort of an index writes; workers write always, one alone beyond its memory."""
    spills = workers > 0 or rows * (entry_bytes + IN_MEMORY) > memory
    return rows * (entry_bytes + ITEM) if spills else 0.0


def validation_bytes(rows: float, *, memory: int) -> float:
    """What the second pass of CONCURRENTLY sorts on the disk."""
    return rows * VALIDATED if rows * IN_MEMORY > memory else 0.0


def build_workers(table_pages: int, *, at_least: int, most: int, memory: int) -> int:
    """How many workers Postgres gives the build of a B-tree, beside the leader.

    `at_least`: pages of `min_parallel_table_scan_size`; each further worker takes a table three
    times as large.
    """
    workers, pages = 0, max(1, at_least)
    while workers < most and table_pages >= pages:
        workers, pages = workers + 1, pages * 3
    while workers and memory // (workers + 1) < WORKER_MEMORY:
        workers -= 1
    return workers


def wal_growth(new_bytes: float, *, cap: float | None, recycled: int) -> float:
    """How far pg_wal grows while so much is built.

    `cap`: what a checkpoint lets it come to; None where nothing is ever removed. `recycled`: what
    lies there already, to be written over or to its end.
    """
    written = new_bytes * WAL_SHARE
    return max(0.0, (written if cap is None else min(written, cap)) - recycled)


def peak(steps: Sequence[Step], *, cap: float | None, recycled: int, after: float = 0) -> float:
    """The most that is taken beyond now: every new index so far, one sort, and the WAL.

    The old indexes stay until the commit. `after`: what a pass over the finished ones sorts.
    """
    highest = built = 0.0
    for step in steps:
        built += step.new_bytes
        wal = wal_growth(built, cap=cap, recycled=recycled)
        highest = max(highest, built + step.sort_bytes + wal)
    return max(highest, built + after + wal_growth(built, cap=cap, recycled=recycled))


def gate(expected: float, *, segment: int) -> int:
    """What must be free before it may begin; `segment`: of the WAL, 0 where that lies elsewhere."""
    return round(GATE * expected + GATE_SEGMENTS * segment)


def sorting_s(sample_s: float, sampled: float, rows: float) -> float:
    """Seconds that all rows take to sort, by what a sample of them took."""
    if sampled < 2 or rows < sampled:  # noqa: PLR2004 - no logarithm of fewer
        return sample_s
    return sample_s * rows / sampled * log2(rows) / log2(sampled)
