import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.drill.losses import Launched, lost_minutes

END_S = 20.0
LAUNCHES = st.lists(
    st.builds(
        Launched,
        at_s=st.floats(min_value=0, max_value=END_S, exclude_max=True),
        client=st.sampled_from(["free", "paid"]),
        started=st.booleans(),
    ),
    max_size=40,
)


def launch(at_s: float, *, started: bool, client: str = "free") -> Launched:
    return Launched(at_s=at_s, client=client, started=started)


def lost_s(*launches: Launched, end_s: float = END_S) -> float:
    return 60 * lost_minutes(launches, end_s)


def test_a_failed_launch_is_lost_until_the_next_second_in_which_half_start() -> None:
    lost = lost_s(
        launch(3.5, started=False),
        launch(4.1, started=True),
        launch(4.2, started=False),
        launch(4.3, started=False),
        launch(7.8, started=True),
        launch(7.9, started=False),
    )
    # Until 7 each but the last, which has no such second and is lost until the end.
    assert lost == pytest.approx((7 - 3.5) + (7 - 4.2) + (7 - 4.3) + (END_S - 7.9))


def test_without_such_a_second_it_is_lost_until_the_end() -> None:
    assert lost_s(launch(3.5, started=False)) == pytest.approx(END_S - 3.5)


def test_it_loses_one_second_at_least() -> None:
    assert lost_s(launch(3.9, started=False), launch(4.0, started=True)) == pytest.approx(1)
    assert lost_s(launch(19.9, started=False)) == pytest.approx(1)


def test_its_own_second_does_not_end_it() -> None:
    half = [launch(3.0, started=True), launch(3.0, started=False)]
    assert lost_s(*half, launch(9.0, started=True)) == pytest.approx(6)


def test_seconds_without_a_launch_end_nothing() -> None:
    assert lost_s(launch(3.0, started=False), launch(9.5, started=True)) == pytest.approx(6)


def test_paid_launches_that_start_again_end_nothing_for_free_ones() -> None:
    free, paid = launch(3.0, started=False), launch(5.0, started=True, client="paid")
    assert lost_s(free, paid) == pytest.approx(END_S - 3)
    assert lost_s(replace(free, client="paid"), paid) == pytest.approx(2)


@given(LAUNCHES)
def test_where_all_start_nothing_is_lost(launches: list[Launched]) -> None:
    assert lost_minutes([replace(one, started=True) for one in launches], END_S) == 0


@given(LAUNCHES, st.data())
def test_one_failure_more_loses_a_second_more_at_least(
    launches: list[Launched], data: st.DataObject
) -> None:
    started = [at for at, one in enumerate(launches) if one.started]
    if not started:
        return
    at = data.draw(st.sampled_from(started))
    worse = [*launches[:at], replace(launches[at], started=False), *launches[at + 1 :]]
    more = 60 * (lost_minutes(worse, END_S) - lost_minutes(launches, END_S))
    assert more > 1 or math.isclose(more, 1, abs_tol=1e-6)


@given(LAUNCHES, st.randoms())
def test_the_order_in_which_launches_are_told_does_not_matter(
    launches: list[Launched], chance: random.Random
) -> None:
    shuffled = list(launches)
    chance.shuffle(shuffled)
    assert lost_minutes(shuffled, END_S) == pytest.approx(lost_minutes(launches, END_S))


@given(LAUNCHES)
def test_all_that_fail_lose_no_more_than_the_whole_drill_each(launches: list[Launched]) -> None:
    failed = sum(not one.started for one in launches)
    lost = 60 * lost_minutes(launches, END_S)
    assert failed - 1e-6 <= lost <= failed * END_S + 1e-6
