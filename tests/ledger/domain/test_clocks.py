"""The two clocks of the log, and the producer's now."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.domain.clocks import PartitionClock, from_rfc3339, producer_now, rfc3339
from ledger.domain.terms import TIME_MS_MAX

TIMES = st.integers(0, TIME_MS_MAX)
DAY_MS = 86_400_000


@given(st.lists(TIMES, min_size=1, max_size=40))
def test_elapsed_never_runs_back_and_no_jump_moves_it_more_than_10_s(times: list[int]) -> None:
    clock = PartitionClock()
    for time_ms in times:
        before, clock = clock, clock.advance(time_ms)
        assert clock.timestamp_ms == time_ms
        assert 0 <= clock.elapsed_ms - before.elapsed_ms <= 10_000


@given(st.lists(st.integers(0, 10_000), max_size=40), TIMES)
def test_elapsed_is_the_time_that_passed_on_a_steady_clock(steps: list[int], start: int) -> None:
    clock = PartitionClock().advance(start)
    for passed, step in enumerate(steps):
        start += step
        clock = clock.advance(start)
        assert clock.elapsed_ms == sum(steps[: passed + 1])


@given(
    st.lists(TIMES, min_size=1, max_size=20),
    st.integers(-400 * DAY_MS, 400 * DAY_MS),
    st.integers(0, 20),
)
def test_a_wrong_clock_moves_elapsed_by_ten_seconds_and_by_ten_back_to_right(
    times: list[int], wrong_by_ms: int, at: int
) -> None:
    """A clock that jumps and jumps back costs no more than the two steps' bound."""
    times = sorted(times)
    jumped = times[:at] + [max(0, time_ms + wrong_by_ms) for time_ms in times[at : at + 5]]
    right, wrong = PartitionClock(), PartitionClock()
    for time_ms in times:
        right = right.advance(time_ms)
    for time_ms in jumped + times[at + 5 :]:
        wrong = wrong.advance(time_ms)
    assume(wrong_by_ms + times[0] >= 0)
    assert abs(wrong.elapsed_ms - right.elapsed_ms) <= 20_000


def test_the_first_record_starts_the_elapsed_clock_at_nothing() -> None:
    assert PartitionClock().advance(1_572_940_800_000).elapsed_ms == 0


@given(TIMES, st.lists(TIMES, min_size=2, max_size=2))
def test_now_is_the_median_of_three_clocks(own: int, others: list[int]) -> None:
    now = producer_now(own, others)
    assert now.time_ms == median([own, *others])
    assert now.apart_ms == max(own, *others) - min(own, *others)
    assert now.may_write


@given(TIMES, TIMES)
def test_with_one_clock_missing_now_is_the_smaller_of_two(own: int, other: int) -> None:
    now = producer_now(own, [other])
    assert now.time_ms == min(own, other)
    assert now.may_write == (abs(own - other) <= 60_000)


@given(TIMES)
def test_a_producer_with_no_other_clock_writes_nothing(own: int) -> None:
    assert not producer_now(own, []).may_write


@given(st.integers(10**12, 2 * 10**12), st.integers(0, 60_000), st.integers())
def test_one_wrong_clock_of_three_moves_now_no_further_than_the_right_ones(
    right: int, apart: int, wrong: int
) -> None:
    for clocks in ([wrong, right, right + apart], [right, wrong, right + apart]):
        now = producer_now(clocks[0], clocks[1:])
        assert right <= now.time_ms <= right + apart


def test_clocks_more_than_five_seconds_apart_alarm() -> None:
    apart = [producer_now(10**12, [10**12 + ms]).alarming for ms in (0, 5_000, 5_001)]
    assert apart == [False, False, True]


@given(TIMES)
def test_a_time_is_written_in_one_form_and_read_back(time_ms: int) -> None:
    text = rfc3339(time_ms)
    moment = datetime.fromtimestamp(time_ms // 1000, tz=UTC)
    assert text == f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    assert from_rfc3339(text) == time_ms


def test_a_time_of_another_zone_is_read_too() -> None:
    assert from_rfc3339("2019-11-05T09:00:00.5+01:00") == 1_572_940_800_500


@pytest.mark.parametrize("text", ["2019-11-05T08:00:00", "yesterday", ""])
def test_a_time_without_an_offset_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|isoformat"):
        from_rfc3339(text)
