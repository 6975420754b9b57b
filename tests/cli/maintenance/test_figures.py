"""The formulas, by hand."""

from __future__ import annotations

import pytest

from cli.maintenance.figures import (
    Step,
    build_workers,
    by_keys,
    by_leaves,
    by_rows,
    gate,
    peak,
    read_size,
    sort_bytes,
    sorting_s,
    validation_bytes,
    wal_growth,
)

MIB = 1 << 20
PAGE = 8192


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1048576", MIB),
        ("300G", 300 << 30),
        ("1.5 TiB", 3 << 39),
        ("512mb", 512 * MIB),
        ("16 kB", 16 << 10),
        ("7B", 7),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, expected: int) -> None:
    assert read_size(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-1G", "5 %", "1 PB", "1e9", "1GG"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_size(text)


def test_an_index_has_an_entry_for_each_row() -> None:
    # A bigint's entry is 16 bytes and a pointer of 4; 366 of them fill nine tenths of a page.
    assert by_rows(366_000, 16, page=PAGE, fillfactor=90) == pytest.approx(1000 * PAGE, rel=0.01)
    assert by_rows(0, 16, page=PAGE, fillfactor=90) == PAGE
    full = by_rows(1_000_000, 16, page=PAGE, fillfactor=100)
    assert by_rows(1_000_000, 16, page=PAGE, fillfactor=50) == pytest.approx(2 * full, rel=0.01)


def test_rows_of_one_key_share_an_entry() -> None:
    alone = by_rows(1_000_000, 16, page=PAGE, fillfactor=90)
    shared = by_keys(1_000_000, 10, 16, page=PAGE, fillfactor=90)
    assert shared < 0.4 * alone, "six bytes a row"
    assert shared > 1_000_000 * 6 / 0.9
    assert by_keys(1_000_000, 900_000, 16, page=PAGE, fillfactor=90) == alone


def test_leaves_are_filled_anew() -> None:
    assert by_leaves(1000, 45, page=PAGE, fillfactor=90) == 501 * PAGE


def test_a_sort_stays_in_memory_only_alone_and_small() -> None:
    assert sort_bytes(1000, 16, memory=40_000, workers=0) == 0
    assert sort_bytes(1001, 16, memory=40_000, workers=0) == 1001 * 20
    assert sort_bytes(1000, 16, memory=40_000, workers=1) == 1000 * 20, "workers always write"
    assert validation_bytes(1000, memory=24_000) == 0
    assert validation_bytes(1001, memory=24_000) == 1001 * 12


@pytest.mark.parametrize(
    ("pages", "most", "memory_mb", "workers"),
    [
        (1023, 2, 1024, 0),
        (1024, 2, 1024, 1),
        (3072, 2, 1024, 2),
        (10**9, 2, 1024, 2),
        (10**9, 8, 1024, 8),
        (10**9, 2, 64, 1),
        (10**9, 2, 63, 0),
        (10**9, 0, 1024, 0),
    ],
)
def test_workers_are_as_many_as_postgres_would_have(
    pages: int, most: int, memory_mb: int, workers: int
) -> None:
    assert build_workers(pages, at_least=1024, most=most, memory=memory_mb * MIB) == workers


def test_the_wal_grows_to_its_cap_but_for_what_lies_there() -> None:
    assert wal_growth(100 * MIB, cap=1000 * MIB, recycled=0) == 92 * MIB
    assert wal_growth(100 * MIB, cap=50 * MIB, recycled=0) == 50 * MIB
    assert wal_growth(100 * MIB, cap=50 * MIB, recycled=48 * MIB) == 2 * MIB
    assert wal_growth(100 * MIB, cap=50 * MIB, recycled=80 * MIB) == 0
    assert wal_growth(1000 * MIB, cap=None, recycled=20 * MIB) == 900 * MIB, "a slot keeps all"


def test_the_peak_has_all_new_indexes_one_sort_and_the_wal() -> None:
    steps = [Step(new_bytes=100, sort_bytes=500), Step(new_bytes=50, sort_bytes=10)]
    assert peak(steps, cap=0, recycled=0) == 600, "the first one's sort"
    steps = [Step(new_bytes=100, sort_bytes=10), Step(new_bytes=50, sort_bytes=10)]
    assert peak(steps, cap=0, recycled=0) == 160
    assert peak(steps, cap=None, recycled=0) == pytest.approx(160 + 0.92 * 150)
    assert peak(steps, cap=0, recycled=0, after=40) == 190
    assert peak([], cap=None, recycled=0) == 0


def test_the_gate_is_a_quarter_more_and_two_segments() -> None:
    assert gate(100 * MIB, segment=16 * MIB) == 157 * MIB
    assert gate(100 * MIB, segment=0) == 125 * MIB


def test_a_whole_sort_takes_more_than_its_share_of_a_sample() -> None:
    assert sorting_s(1.0, 1024, 1024 * 1024) == pytest.approx(2048)
    assert sorting_s(1.0, 0, 100) == 1.0
