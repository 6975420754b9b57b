"""The plan of a REINDEX: what it will need, where, whether it may begin; by facts alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from cli.maintenance import figures
from cli.maintenance.facts import Facts, Holder, Place, WalFacts
from cli.maintenance.holders import said
from cli.maintenance.rebuilt import IndexPlan, index_plan
from cli.maintenance.size import size

LONG_S: Final = 5.0
"""A transaction that is open so long may be open for long, with everybody behind REINDEX."""
RESERVE_SHARE: Final = 0.05
BUSY_S: Final = 60.0
FASTEST: Final = 0.7
SLOWEST: Final = 4.0
"""Of the seconds that sorting alone was measured to take, the range of the whole. Measured:
docs/operations/maintenance.md."""


class Need(Struct, frozen=True, kw_only=True):
    """What is needed on one file system. `total_bytes` None: only the free space was told."""

    path: str
    parts: Sequence[str]
    total_bytes: int | None
    free_bytes: int
    expected_bytes: int
    gate_bytes: int
    reserve_bytes: int
    after_bytes: int

    @property
    def enough(self) -> bool:
        """Whether it has room, and the reserve beside that."""
        return self.gate_bytes <= self.free_bytes - self.reserve_bytes


class Plan(Struct, frozen=True, kw_only=True):
    """What a REINDEX will need and what forbids it (`reasons`; none: go).

    `expected_bytes`: the most that is taken beyond now; `gate_bytes`: to be free before it begins.
    `free_bytes`: on the file system with the least to spare; None: unknown. `seconds`: least and
    most; None: unknown. `wal_stays`: why no WAL is removed meanwhile. `unknown`: what the plan
    can't know.
    """

    table: str
    concurrently: bool
    server: str
    version: str
    table_bytes: int
    rows: int
    indexes: Sequence[IndexPlan]
    expected_bytes: int
    gate_bytes: int
    free_bytes: int | None
    after_bytes: int
    wal_bytes: int
    wal_growth_bytes: int
    wal: WalFacts
    wal_stays: Sequence[str]
    places: Sequence[Need]
    seconds: tuple[float, float] | None
    leaked_bytes: int
    holders: Sequence[Holder]
    reasons: Sequence[str]
    unknown: Sequence[str]

    @property
    def go(self) -> bool:
        """Whether nothing forbids it."""
        return not self.reasons


def decide(facts: Facts, *, concurrently: bool, reserve_bytes: int | None = None) -> Plan:
    """Make the plan of the facts."""
    indexes = [index_plan(facts, one) for one in facts.indexes]
    stays, cap = _wal(facts.wal)
    recycled = facts.wal.recycled_bytes or 0
    new = sum(one.new_bytes for one in indexes)
    old = sum(one.bytes for one in indexes)
    growth = figures.wal_growth(new, cap=cap, recycled=recycled)
    needs = [
        _need(facts, place, indexes, cap, concurrently=concurrently, reserve=reserve_bytes)
        for place in facts.places
    ]
    whole = _peak(facts, indexes, cap, concurrently=concurrently)
    seconds = _seconds(facts)
    return Plan(
        table=facts.table,
        concurrently=concurrently,
        server=facts.server,
        version=facts.version,
        table_bytes=facts.table_bytes,
        rows=round(facts.rows),
        indexes=indexes,
        expected_bytes=round(whole),
        gate_bytes=figures.gate(whole, segment=facts.wal.segment_bytes),
        free_bytes=_scarcest(needs),
        after_bytes=round(new - old + growth),
        wal_bytes=round(new * figures.WAL_SHARE),
        wal_growth_bytes=round(growth),
        wal=facts.wal,
        wal_stays=stays,
        places=needs,
        seconds=seconds,
        leaked_bytes=new,
        holders=facts.holders,
        reasons=_reasons(facts, needs, stays, concurrently=concurrently),
        unknown=[*facts.unknown, *_unknown(facts, indexes, seconds)],
    )


def _wal(wal: WalFacts) -> tuple[list[str], float | None]:
    """Why no WAL goes meanwhile, and what pg_wal comes to at most (None: no limit)."""
    stays = []
    if wal.archiver:
        stays.append(f"{wal.archiver}: until it archives again, all WAL stays")
    behind = [one for one in wal.slots if not one.active or one.retained_bytes > wal.max_bytes]
    cap = float(wal.max_bytes + wal.keep_bytes)
    for one in behind:
        does = "nobody reads from" if not one.active else "somebody is far behind with"
        if wal.slots_keep_bytes is None:
            stays.append(
                f"{does} replication slot {one.name}, which retains {size(one.retained_bytes)} of "
                "WAL: all that is written stays. Have it read, or drop it"
            )
        else:
            cap = max(cap, float(wal.slots_keep_bytes + wal.max_bytes))
    return stays, None if stays else cap


def _peak(
    facts: Facts, indexes: Sequence[IndexPlan], cap: float | None, *, concurrently: bool
) -> float:
    steps = [figures.Step(new_bytes=one.new_bytes, sort_bytes=one.sort_bytes) for one in indexes]
    recycled = facts.wal.recycled_bytes or 0
    after = _validation(facts) if concurrently else 0.0
    return figures.peak(steps, cap=cap, recycled=recycled, after=after)


def _validation(facts: Facts) -> float:
    return figures.validation_bytes(facts.rows, memory=facts.memory_bytes)


def _need(
    facts: Facts,
    place: Place,
    indexes: Sequence[IndexPlan],
    cap: float | None,
    *,
    concurrently: bool,
    reserve: int | None,
) -> Need:
    """What is needed of one file system: of each index what lies there, sorts, WAL."""
    here = [one.tablespace in place.tablespaces for one in facts.indexes]
    highest = built = written = 0.0
    for one, lies in zip(indexes, here, strict=True):
        written += one.new_bytes
        built += one.new_bytes if lies else 0
        now = built + (one.sort_bytes if place.sorts else 0) + _grown(facts, place, written, cap)
        highest = max(highest, now)
    if concurrently and place.sorts:
        highest = max(highest, built + _validation(facts) + _grown(facts, place, written, cap))
    old = sum(one.bytes for one, lies in zip(indexes, here, strict=True) if lies)
    total = place.total_bytes
    return Need(
        path=place.path,
        parts=[
            *(["indexes"] if any(here) else []),
            *(["sorts"] if place.sorts else []),
            *(["WAL"] if place.wal else []),
        ],
        total_bytes=total,
        free_bytes=place.free_bytes,
        expected_bytes=round(highest),
        gate_bytes=figures.gate(highest, segment=facts.wal.segment_bytes if place.wal else 0),
        reserve_bytes=round((total or 0) * RESERVE_SHARE) if reserve is None else reserve,
        after_bytes=round(place.free_bytes - built + old - _grown(facts, place, written, cap)),
    )


def _grown(facts: Facts, place: Place, written: float, cap: float | None) -> float:
    if not place.wal:
        return 0.0
    return figures.wal_growth(written, cap=cap, recycled=facts.wal.recycled_bytes or 0)


def _scarcest(needs: Sequence[Need]) -> int | None:
    least = min(
        needs, key=lambda one: one.free_bytes - one.reserve_bytes - one.gate_bytes, default=None
    )
    return None if least is None else least.free_bytes


def _seconds(facts: Facts) -> tuple[float, float] | None:
    """Least and most that it takes, by how long a sample took to sort; None: can't be told."""
    total = 0.0
    for one in facts.indexes:
        if one.sample_s is not None:
            total += figures.sorting_s(one.sample_s, one.sampled, one.rows)
        elif one.bytes > facts.page_bytes * 2:
            return None
    return (FASTEST * total, SLOWEST * total)


def _reasons(
    facts: Facts, needs: Sequence[Need], stays: Sequence[str], *, concurrently: bool
) -> list[str]:
    """What forbids it, each with its numbers and the way out."""
    found = []
    if not needs:
        found.append(f"free space can't be read: {facts.no_places}")
    for need in needs:
        if not need.enough:
            lacking = need.gate_bytes + need.reserve_bytes - need.free_bytes
            kept = f", and {size(need.reserve_bytes)} are kept" if need.reserve_bytes else ""
            found.append(
                f"{need.path} has {size(need.free_bytes)} free, and {size(need.gate_bytes)} must "
                f"be{kept}: free {size(lacking)} first"
            )
    found += stays
    for one in facts.holders:
        age = one.age_s
        if concurrently or not (one.waiting or (age is not None and age >= LONG_S)):
            continue
        found.append(
            f"{said(one)}: REINDEX would wait for that, and everybody behind it. "
            "Have it ended first"
        )
    return found


def _unknown(
    facts: Facts, indexes: Sequence[IndexPlan], seconds: tuple[float, float] | None
) -> list[str]:
    """What the plan can't know, so that nobody takes it for known."""
    found = []
    if facts.wal.recycled_bytes is None:
        found.append(
            "how many WAL segments wait to be written over (pg_monitor may see it): none is "
            "reckoned with"
        )
    found += [
        f"the new size of {plan.name}: it is taken to be as large as now"
        for index, plan in zip(facts.indexes, indexes, strict=True)
        if index.entry_bytes is None or index.method != "btree"
    ]
    if seconds is None:
        found.append("how long it takes: an index can't be sorted by sample")
    if any(one.age_s is None for one in facts.holders):
        found.append("how old the transactions of others are: grant this role pg_read_all_stats")
    found.append("what others will write meanwhile: their WAL and rows come on top")
    return found
