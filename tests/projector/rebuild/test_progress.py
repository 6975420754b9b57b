"""How far a rebuild is: never back, whole at its end, and a range that narrows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projector.rebuild.intent import NOTHING, Foreseen
from projector.rebuild.progress import Progress, Work, progress_document, read_progress


def foreseen(events: int, keys: int) -> Foreseen:
    return Foreseen(
        keys=keys, folding_s=events / 100, writing_s=keys / 300, reading_back_s=keys / 400, else_s=1
    )


@given(
    st.integers(1, 10**7), st.floats(0.1, 5.0), st.floats(0.5, 2.0), st.integers(2, 40), st.data()
)
def test_the_share_rises_to_the_whole(
    events: int, keys_an_event: float, of_foreseen: float, steps: int, data: st.DataObject
) -> None:
    keys = max(1, round(events * keys_an_event))
    before = data.draw(st.integers(0, events))
    work = Work(events, foreseen(events, round(keys * of_foreseen)), folded=before)
    shares, written = [work.share], work.written
    for step in range(1, steps + 1):
        work.events = before + (events - before) * step // steps
        work.written = written + keys * step // steps
        shares.append(work.share)
    work.built()
    for step in range(1, steps + 1):
        work.read = work.written * step // steps
        shares.append(work.share)
    assert 0.999 < work.share <= 1.000001
    assert all(earlier <= later + 1e-9 for earlier, later in pairwise(shares))


def test_nothing_is_told_of_the_time_left_before_something_is_done() -> None:
    work = Work(1_000, foreseen(1_000, 1_500))
    assert work.left_s(3.0) is None
    assert Work(0, NOTHING).share == 0.0


def test_a_ledger_too_small_to_take_a_time_is_all_or_nothing() -> None:
    told = Foreseen(keys=12, folding_s=0.0, writing_s=0.0, reading_back_s=0.0, else_s=4.0)
    work = Work(9, told)
    assert (work.share, work.left_s(1.0)) == (0.0, None)
    work.events, work.written = 9, 12
    assert work.share == 0.0
    work.built()
    assert (work.share, work.left_s(1.0)) == (1.0, (0, 1))


@pytest.mark.parametrize("slower", [0.3, 1.0, 3.0])
def test_the_range_narrows_to_what_is_left_however_wrong_the_plan_was(slower: float) -> None:
    told = foreseen(100_000, 100_000)
    work, errors, widths = Work(100_000, told), [], []
    took = slower * (told.total_s - told.else_s)
    for done in (10_000, 40_000, 80_000, 100_000):
        work.events = work.written = done
        elapsed = slower * (told.folding_s + told.writing_s) * done / 100_000
        least, most = work.left_s(elapsed) or (0, 0)
        left = took - elapsed
        errors.append(abs((least + most) / 2 - left) / left)
        widths.append((most - least - 1) / (least + most))
    assert widths == sorted(widths, reverse=True)
    assert errors[-1] < 0.25
    assert slower != 1.0 or max(errors) < 0.02


def test_a_moment_reads_back_as_it_was() -> None:
    moment = Progress(phase="building", percent=12.5, events=3, left_s=(1, 9), held=True)
    assert read_progress(progress_document(moment)) == moment
