import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cli.drill.outcome import Moment, Outcome, PhaseName, Second
from cli.drill.report.chart import Chart, chart
from cli.drill.report.contents import Contents
from cli.drill.report.scale import (
    NARROW,
    WIDE,
    Scale,
    Size,
    area,
    cluster,
    shortened,
    text_width,
    ticks_of,
)
from tests.cli.drill.outcomes import PHASE_S, outcome_of

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: size.name)
SCALE = Scale(
    Size(
        name="plain",
        width=108,
        left=0,
        font=10,
        launches=100,
        activations=50,
        tick=20,
        titles=True,
        right=8,
    ),
    10.0,
)


def drawn(outcome: Outcome, size: Size = WIDE) -> Chart:
    return chart(Contents(outcome), size)


def column(second: Second) -> str:
    return area([second], lambda _: 100.0, lambda one: 100.0 - one.started, SCALE)


def test_an_area_goes_around_its_columns() -> None:
    seconds = [Second(at_s=2, started=10), Second(at_s=3, started=40)]
    path = area(seconds, lambda _: 100.0, lambda one: 100.0 - one.started, SCALE)
    assert path == "M20.0 100.0 V90.0 H30.0 V60.0 H40.0 V100.0 H30.0 V100.0 H20.0 Z"


def test_an_area_has_a_part_for_each_run_of_seconds_and_none_where_it_is_flat() -> None:
    seconds = [Second(at_s=at, started=0 if at == 2 else 5) for at in (5, 1, 2, 0)]
    path = area(seconds, lambda _: 100.0, lambda one: 100.0 - one.started, SCALE)
    assert re.findall(r"M(\S+)", path) == ["0.0", "50.0"]
    assert column(Second(at_s=1, started=0)) == ""


@SIZES
def test_every_phase_that_ran_has_its_band_in_order(size: Size) -> None:
    bands = drawn(outcome_of(), size).bands
    assert [band.lines[0] for band in bands] == list("ABCDEFGHI")
    assert bands[0].x == size.left
    for before, after in itertools.pairwise(bands):
        assert before.x + before.width == pytest.approx(after.x, abs=0.02)
    assert bands[-1].x + bands[-1].width == pytest.approx(size.width - size.right, abs=0.02)


def test_a_skipped_phase_has_no_band_and_keeps_its_letter() -> None:
    bands = drawn(outcome_of(disk=False)).bands
    assert [band.lines[0] for band in bands] == list("ABDEFGHI")


def test_titles_stand_in_the_wide_drawing_only() -> None:
    assert drawn(outcome_of()).bands[3].lines == ["D", "Clean-up"]
    assert drawn(outcome_of(), NARROW).bands[3].lines == ["D"]


def test_what_failed_is_drawn_where_it_failed_and_nowhere_else() -> None:
    naive, ledger = drawn(outcome_of()).sides
    assert ledger.panels[0].bad == ledger.panels[1].bad == ""
    assert ledger.panels[0].good.count("M") == 1
    only_lock = drawn(outcome_of(failing={PhaseName.LOCK: (1.0, 1.0)})).sides[0].panels[1]
    # Before the lock, and after it.
    assert only_lock.good.count("M") == 2
    assert only_lock.bad.count("M") == 1
    assert naive.panels[1].bad


def test_one_failure_of_many_can_be_seen() -> None:
    outcome = outcome_of()
    naive, ledger = outcome.sides
    many = [replace(second, launches=9999, started=9999) for second in ledger.seconds]
    many[5] = replace(many[5], started=9998)
    panel = drawn(replace(outcome, sides=[naive, replace(ledger, seconds=many)])).sides[1].panels[0]
    heights = [float(y) for y in re.findall(r"V([\d.]+)", panel.bad)]
    assert max(heights) - min(heights) >= 2


def test_both_sides_share_the_axis_and_stand_one_above_the_other() -> None:
    naive, ledger = drawn(outcome_of()).sides
    assert naive.bottom < ledger.panels[0].top
    assert ledger.neutralized is None
    assert naive.neutralized is not None
    scale = Scale(WIDE, 9 * PHASE_S)
    assert naive.neutralized.x == scale.x(54)
    assert naive.neutralized.width == pytest.approx(scale.x(60) - scale.x(54), abs=0.02)


def test_what_nobody_neutralized_is_not_drawn() -> None:
    assert drawn(replace(outcome_of(), neutralized=None)).sides[0].neutralized is None


def test_a_drill_in_which_nothing_was_sent_can_be_drawn() -> None:
    outcome = outcome_of()
    sides = [replace(side, seconds=[], phases=[]) for side in outcome.sides]
    empty = drawn(replace(outcome, phases=[], moments=[], neutralized=None, sides=sides))
    assert empty.bands == []
    assert all(panel.good == panel.bad == "" for side in empty.sides for panel in side.panels)


def test_a_long_title_leaves_room_for_the_minutes_lost() -> None:
    assert shortened("Naive service", 200, 10) == "Naive service"
    assert shortened("Naive service", 50, 10) == "Naive s\u2026"
    outcome = outcome_of()
    sides = [replace(side, title=side.title * 9) for side in outcome.sides]
    naive, _ = drawn(replace(outcome, sides=sides), NARROW).sides
    assert naive.lost == "1,234 launch-minutes lost"
    assert naive.title.endswith("\u2026")
    letters = text_width(naive.title, NARROW.font + 1) + text_width(naive.lost, NARROW.font)
    assert letters < NARROW.width - NARROW.left - NARROW.right


def test_moments_far_apart_have_a_marker_each_and_near_ones_share_it() -> None:
    assert [one.label for one in cluster([0.0, 5.0, 9.0], SCALE)] == ["1", "2", "3"]
    assert [one.label for one in cluster([0.0, 5.0, 5.1, 5.2], SCALE)] == ["1", "2\u20134"]


@given(st.lists(st.floats(0, 10), max_size=60).map(sorted))
def test_markers_never_overlap_and_hold_every_moment_once(moments: list[float]) -> None:
    markers = cluster(moments, SCALE)
    for before, after in itertools.pairwise(markers):
        assert before.x + before.width < after.x
    assert [x for marker in markers for x in marker.at] == [SCALE.x(at_s) for at_s in moments]
    assert all(marker.x + marker.width <= SCALE.size.width + 0.01 for marker in markers)


def test_moments_are_numbered_in_the_order_of_time() -> None:
    late, early = Moment(at_s=50.0, text="late"), Moment(at_s=2.0, text="early")
    outcome = outcome_of(moments=[late, early])
    assert [text for _, _, text in Contents(outcome).moments()] == ["early", "late"]
    markers = drawn(outcome).markers
    assert [marker.label for marker in markers] == ["1", "2"]
    assert markers[0].at < markers[1].at


@given(st.floats(0.1, 5000))
def test_marks_of_the_axis_are_far_enough_apart(end_s: float) -> None:
    for size in (WIDE, NARROW):
        marks = ticks_of(Scale(size, end_s))
        assert marks[0] == (float(size.left), "0 s")
        assert len(marks) <= 1 + (size.width - size.left) / size.tick
