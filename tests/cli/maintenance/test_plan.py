"""What is decided by the facts: go, or no-go with the numbers and the way out."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cli.maintenance.facts import Facts, Holder, IndexFacts, Place, Slot, WalFacts
from cli.maintenance.plan import LONG_S, Plan, decide
from cli.maintenance.rebuilt import new_size

MIB = 1 << 20
GIB = 1 << 30

INDEX = IndexFacts(
    oid=1,
    name="public.a",
    method="btree",
    bytes=100 * MIB,
    rows=2_000_000,
    unique=True,
    valid=True,
    tablespace=1663,
    entry_bytes=16.0,
    sample_s=0.1,
    sampled=100_000,
)
WAL = WalFacts(
    segment_bytes=16 * MIB,
    max_bytes=GIB,
    keep_bytes=0,
    recycled_bytes=0,
    slots=(),
    slots_keep_bytes=None,
    archiver="",
)
PLACE = Place(
    path="/data",
    total_bytes=100 * GIB,
    free_bytes=50 * GIB,
    tablespaces=[1663],
    sorts=True,
    wal=True,
)
FACTS = Facts(
    table="public.machines",
    server="vendor on db:5432 as ops",
    version="15.4",
    page_bytes=8192,
    table_bytes=GIB,
    rows=2_000_000,
    memory_bytes=16 * MIB,
    workers=0,
    indexes=[INDEX],
    wal=WAL,
    holders=(),
    places=[PLACE],
    no_places="",
    unknown=(),
)
SLOT = Slot(name="standby_2", active=False, retained_bytes=3 * GIB)
HOLDER = Holder(
    pid=7,
    who="report from 10.0.0.9",
    age_s=600.0,
    relation="machines",
    mode="RowExclusiveLock",
    waiting=False,
)


def decided(*, concurrently: bool = False, reserve: int | None = None, **changed: object) -> Plan:
    return decide(replace(FACTS, **changed), concurrently=concurrently, reserve_bytes=reserve)


def place(**changed: object) -> list[Place]:
    return [replace(PLACE, **changed)]


def test_it_may_begin_where_nothing_forbids_it() -> None:
    plan = decided()
    assert plan.go
    [index] = plan.indexes
    # 20 bytes a row in pages nine tenths full, then as much again for the sort, and the WAL.
    assert index.new_bytes == pytest.approx(2_000_000 * 20 / 0.9, rel=0.01)
    assert index.sort_bytes == 2_000_000 * 20
    assert plan.expected_bytes == pytest.approx(
        1.92 * index.new_bytes + index.sort_bytes, rel=0.001
    )
    assert plan.gate_bytes == round(1.25 * plan.expected_bytes) + 32 * MIB
    assert plan.free_bytes == 50 * GIB


def test_the_gate_and_the_reserve_must_both_be_free() -> None:
    gate = decided().gate_bytes
    reserve = PLACE.total_bytes // 20 if PLACE.total_bytes else 0
    assert decided(places=place(free_bytes=gate + reserve)).go
    short = decided(places=place(free_bytes=gate + reserve - MIB))
    [reason] = short.reasons
    assert reason.startswith("/data has 5.2 GiB free")
    assert reason.endswith("free 1.0 MiB first")
    assert decided(places=place(free_bytes=gate), reserve=0).go
    assert not decided(places=place(free_bytes=gate - 1), reserve=0).go


def test_each_file_system_has_what_lies_there() -> None:
    other = replace(INDEX, oid=2, name="public.b", tablespace=900)
    places = [
        replace(PLACE, path="/data", sorts=True, wal=False),
        replace(PLACE, path="/fast", tablespaces=[900], sorts=False, wal=False),
        replace(PLACE, path="/wal", tablespaces=[], sorts=False, wal=True),
    ]
    plan = decided(indexes=[INDEX, other], places=places)
    data, fast, wal = plan.places
    new = plan.indexes[0].new_bytes
    assert data.expected_bytes == new + plan.indexes[0].sort_bytes
    assert data.gate_bytes == round(1.25 * data.expected_bytes), "no segments, the WAL is elsewhere"
    assert fast.expected_bytes == new
    assert wal.expected_bytes == pytest.approx(0.92 * 2 * new, rel=0.001)
    full = decided(indexes=[INDEX, other], places=[*places[:2], replace(places[2], free_bytes=MIB)])
    [reason] = full.reasons
    assert reason.startswith("/wal has 1.0 MiB free")
    assert full.free_bytes == MIB, "the scarcest"


def test_a_slot_that_nobody_reads_forbids_it() -> None:
    plan = decided(wal=replace(WAL, slots=[SLOT]))
    [reason] = plan.reasons
    assert "standby_2" in reason
    assert "3.0 GiB" in reason
    behind = replace(SLOT, active=True)
    assert not decided(wal=replace(WAL, slots=[behind])).go
    assert decided(wal=replace(WAL, slots=[replace(behind, retained_bytes=MIB)])).go


def test_with_wal_that_stays_no_checkpoint_limits_it() -> None:
    small = replace(WAL, max_bytes=32 * MIB)
    assert decided(wal=small).wal_growth_bytes == 32 * MIB
    stuck = decided(wal=replace(small, slots=[SLOT]))
    assert stuck.wal_growth_bytes == pytest.approx(0.92 * stuck.indexes[0].new_bytes, rel=0.001)
    limited = decided(wal=replace(small, slots=[SLOT], slots_keep_bytes=4 * MIB))
    assert limited.go, "at worst the slot is lost, not the disk"
    assert limited.wal_growth_bytes == 36 * MIB


def test_a_failing_archiver_forbids_it() -> None:
    [reason] = decided(wal=replace(WAL, archiver="the archiver fails")).reasons
    assert reason.startswith("the archiver fails")


def test_a_long_transaction_forbids_it_since_all_would_wait_behind() -> None:
    [reason] = decided(holders=[HOLDER]).reasons
    assert "pid 7 (report from 10.0.0.9) has RowExclusiveLock on machines for 600 s" in reason
    assert decided(holders=[replace(HOLDER, age_s=LONG_S - 0.1)]).go
    assert not decided(holders=[replace(HOLDER, age_s=0.1, waiting=True)]).go
    assert decided(holders=[HOLDER], concurrently=True).go, "it waits, and nobody behind it"


def test_an_age_that_cannot_be_seen_is_said_to_be_unknown() -> None:
    plan = decided(holders=[replace(HOLDER, age_s=None)])
    assert plan.go
    assert any("pg_read_all_stats" in one for one in plan.unknown)


def test_free_space_that_cannot_be_read_forbids_it() -> None:
    plan = decided(places=(), no_places="give --free SIZE")
    assert plan.reasons == ["free space can't be read: give --free SIZE"]
    assert plan.free_bytes is None


def test_the_least_that_can_be_told_is_the_new_size() -> None:
    assert new_size(replace(INDEX, bytes=10 * MIB), 8192) == (10 * MIB, "its size now")
    assert new_size(replace(INDEX, leaf_pages=1000, leaf_density=90.0), 8192) == (
        1001 * 8192,
        "pgstatindex",
    )
    shared = replace(INDEX, unique=False, keys=10.0, bytes=20 * MIB)
    assert new_size(shared, 8192) == (14 * MIB, "keys shared")
    assert new_size(replace(INDEX, method="gin"), 8192) == (100 * MIB, "its size now: gin")
    failed = replace(INDEX, valid=False, bytes=0)
    assert new_size(failed, 8192)[1] == "a sample", "an invalid one says nothing by its size"


def test_what_cannot_be_known_is_said() -> None:
    plan = decided(
        indexes=[replace(INDEX, method="gist", entry_bytes=None, sample_s=None)],
        wal=replace(WAL, recycled_bytes=None),
    )
    assert plan.seconds is None
    told = " ".join(plan.unknown)
    for part in ("pg_monitor", "public.a", "how long", "others"):
        assert part in told
