"""How far a rebuild is: never back, whole at its end, and a range that narrows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from projector.rebuild.progress import Progress, Work, progress_document, read_progress


@given(st.integers(1, 10**7), st.floats(0.1, 5.0), st.integers(2, 40))
def test_the_share_rises_to_the_whole(events: int, keys_an_event: float, steps: int) -> None:
    keys = round(events * keys_an_event)
    work, shares = Work(events, round(events * 1.5)), [0.0]
    for step in range(1, steps + 1):
        work.events, work.written = events * step // steps, keys * step // steps
        shares.append(work.share)
    for step in range(1, steps + 1):
        work.read = keys * step // steps
        shares.append(work.share)
    work.keys_are(keys)
    assert 0.99 < work.share <= 1.0
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert shares == sorted(shares)


def test_nothing_is_told_of_the_time_left_before_something_is_done() -> None:
    work = Work(1_000, 1_500)
    assert work.left_s(3.0) is None
    assert Work(0, 0).share == 0.0


def test_the_range_holds_what_is_left_and_narrows() -> None:
    work, widths = Work(1_000, 1_000), []
    for done in (100, 400, 800, 1_000):
        work.events = done
        least, most = work.left_s(done / 10) or (0, 0)
        left = (1 - work.share) / work.share * done / 10
        assert least <= left <= most
        widths.append((most - least - 1) / left)
    assert widths == sorted(widths, reverse=True)


def test_a_moment_reads_back_as_it_was() -> None:
    moment = Progress(phase="building", percent=12.5, events=3, left_s=(1, 9), held=True)
    assert read_progress(progress_document(moment)) == moment
