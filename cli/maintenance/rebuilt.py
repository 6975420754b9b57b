"""What an index comes to when it is built anew; by facts alone."""

from __future__ import annotations

from msgspec import Struct

from cli.maintenance import figures
from cli.maintenance.facts import Facts, IndexFacts


class IndexPlan(Struct, frozen=True, kw_only=True):
    """One index: its size now and then, what its sort takes on the disk, and how that is known."""

    name: str
    bytes: int
    new_bytes: int
    sort_bytes: int
    known_by: str


def new_size(index: IndexFacts, page: int) -> tuple[float, str]:
    """Size of an index built anew, and by what that is known: the least of what can be told."""
    fill = index.fillfactor
    if index.method != "btree":
        return float(index.bytes), f"its size now: {index.method}"
    if index.entry_bytes is None:
        return float(index.bytes), "its size now"
    by_rows = figures.by_rows(index.rows, index.entry_bytes, page=page, fillfactor=fill)
    sizes = {"a sample" if index.sampled else "statistics": by_rows}
    if index.leaf_pages is not None and index.leaf_density is not None:
        sizes["pgstatindex"] = figures.by_leaves(
            index.leaf_pages, index.leaf_density, page=page, fillfactor=fill
        )
    elif index.valid:
        sizes["its size now"] = float(index.bytes)
        if index.keys is not None and not index.unique:
            shared = figures.by_keys(
                index.rows, index.keys, index.entry_bytes, page=page, fillfactor=fill
            )
            sizes["keys shared"] = max(shared, figures.SHRINKS_TO * index.bytes)
    known_by = min(sizes, key=lambda name: sizes[name])
    return max(page, sizes[known_by]), known_by


def index_plan(facts: Facts, index: IndexFacts) -> IndexPlan:
    """What one index comes to."""
    new, known_by = new_size(index, facts.page_bytes)
    sort = 0.0
    if index.method == "btree" and index.entry_bytes is None:
        sort = float(index.bytes)
    elif index.method == "btree" and index.entry_bytes is not None:
        sort = figures.sort_bytes(
            index.rows, index.entry_bytes, memory=facts.memory_bytes, workers=facts.workers
        )
    return IndexPlan(
        name=index.name,
        bytes=index.bytes,
        new_bytes=round(new),
        sort_bytes=round(sort),
        known_by=known_by,
    )
