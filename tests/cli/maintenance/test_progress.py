"""How far, how long still, and when it must be ended: a range, and before it is too late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.maintenance.progress import ENDING_S, TOLD_FROM, Build, Trend, left_s, must_end, share

MIB = 1 << 20
SHARES = st.floats(min_value=0.0, max_value=1.0)
SPANS = st.floats(min_value=0.01, max_value=1e6)


@given(done=SHARES, elapsed_s=SPANS, concurrently=st.booleans())
def test_time_left_is_a_range_or_unknown_and_never_a_point(
    *, done: float, elapsed_s: float, concurrently: bool
) -> None:
    told = left_s(done, elapsed_s, concurrently=concurrently)
    if done < TOLD_FROM or (concurrently and done == 1):
        assert told is None
        return
    assert told is not None
    least, most = told
    assert 0 <= least < most
    if done < 0.5:
        assert most - least >= 0.4 * (elapsed_s / done - elapsed_s), (
            "no nearer to a point than that"
        )


def test_the_range_is_as_wide_as_was_measured() -> None:
    # Of what the share alone says of the whole.
    assert left_s(0.20, 10.0, concurrently=False) == pytest.approx((20.0, 100.0))
    assert left_s(0.25, 10.0, concurrently=False) == pytest.approx((24.0, 70.0))
    assert left_s(0.25, 10.0, concurrently=True) == pytest.approx((30.0, 190.0))
    assert left_s(0.8, 10.0, concurrently=False) == pytest.approx((0.625, 7.5))
    assert left_s(0.09, 10.0, concurrently=False) is None


def test_how_far_an_index_is() -> None:
    def built(phase: str, blocks: int = 0, rows: int = 0) -> float:
        return Build(
            phase=phase, blocks_done=blocks, blocks_total=100, rows_done=rows, rows_total=1000
        ).share

    assert built("initializing") == 0
    assert built("building index: scanning table", 50) == 0.25
    assert built("building index: scanning table", 100) == 0, "as it says before it begins"
    assert built("building index: sorting live tuples", 100) == 0.5
    assert built("building index: loading tuples in tree", 100, 500) == 0.75
    assert Build(phase="building index: scanning table").share == 0, "nothing is known yet"


def test_indexes_are_weighed_by_their_size() -> None:
    assert share([10, 80, 10], 0, 1.0) == pytest.approx(0.1)
    assert share([10, 80, 10], 1, 0.5) == pytest.approx(0.5)
    assert share([10, 80, 10], 2, 1.0) == pytest.approx(1.0)
    assert share([], 0, 0.5) == 0


def test_a_phase_is_told_in_words_and_an_unknown_one_as_it_is() -> None:
    assert Build(phase="waiting for old snapshots").words == "waits for older transactions"
    assert Build(phase="something of Postgres 21").words == "something of Postgres 21"


def test_a_disk_that_fills_is_ended_while_there_is_room_to_end() -> None:
    trend = Trend()
    for look in range(21):
        trend.add(look * 0.05, 1000 * MIB - look * 10 * MIB)
    assert trend.falling == pytest.approx(200 * MIB)
    assert trend.falling_fast == pytest.approx(200 * MIB)
    floor, reached = 100 * MIB, round(200 * MIB * ENDING_S)
    assert must_end(floor + reached, floor, trend.falling_fast)
    assert not must_end(floor + reached + MIB, floor, trend.falling_fast)
    assert must_end(floor, floor, 0.0), "it may be still, and too little"


def test_the_last_moments_count_where_they_are_worse() -> None:
    trend = Trend()
    for look in range(20):
        trend.add(look * 0.05, 1000 * MIB)
    trend.add(1.0, 900 * MIB)
    assert trend.falling == pytest.approx(100 * MIB)
    assert trend.falling_fast >= 500 * MIB
    trend.add(1.05, 1100 * MIB)
    assert trend.falling < 0, "it rises"
    assert trend.falling_fast >= 0
