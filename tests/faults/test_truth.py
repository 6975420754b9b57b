"""The oracle itself: it must find right what is right, and wrong what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.counts import count
from tests.faults.truth import (
    Acknowledged,
    Change,
    Check,
    Judge,
    Judged,
    Said,
    Standstill,
    State,
    Story,
    code,
)

NOW_MS = 1_000_000_000.0
"""Wall clock at the monotonic moment 0."""
STATES = [
    State(),
    State(machines=frozenset({"f"})),
    State(machines=frozenset({"f"}), suspended=True),
    State(live=False),
]


def story() -> Story:
    """Issued at offset 10, activated at 20, suspended at 30, revoked at 40: a second each."""
    told = Story(partition=3)
    for number, state in enumerate(STATES):
        at = 100.0 + number
        told.note(Change(offset=10 * (number + 1), state=state, at=at, begun=at - 0.1))
    return told


def check(of: Story, sent: float, offset: int, said: str, *, age_ms: int | None = None) -> Check:
    """A check that was answered 10 ms later from a state that was level when it was sent."""
    return Check(
        story=of,
        fingerprint="f",
        sent=sent,
        sent_ms=NOW_MS + sent * 1000,
        answered=sent + 0.01,
        late_ms=10,
        said=Said(
            code=said,
            valid=said == "VALID",
            partition=3,
            offset=offset,
            age_ms=5 if age_ms is None else age_ms,
            source="REPLICA_A",
        ),
    )


def judge(of: Story, standstills: tuple[Standstill, ...] = ()) -> Judge:
    acknowledged = Acknowledged((of.partition, change) for change in of.changes)
    return Judge(acknowledged=acknowledged, began=0.0, standstills=standstills)


@pytest.mark.parametrize(
    ("offset", "said"),
    [
        (9, "NOT_FOUND"),
        (10, "NO_MACHINES"),
        (29, "VALID"),
        (30, "SUSPENDED"),
        (41, "NOT_FOUND"),
    ],
)
def test_what_the_position_says_is_right_and_everything_else_is_wrong(
    offset: int, said: str
) -> None:
    told = story()
    # Sent before anything was acknowledged: any position may answer.
    assert judge(told)(check(told, 99.0, offset, said)) is Judged.FRESH
    for other in {"NOT_FOUND", "NO_MACHINES", "VALID", "SUSPENDED", "EXPIRED"} - {said}:
        wrong = Judged.WRONG_APPROVAL if other == "VALID" else Judged.WRONG_DENIAL
        assert judge(told)(check(told, 99.0, offset, other)) is wrong


def test_a_no_from_an_older_state_is_invented_and_an_old_yes_is_only_stale() -> None:
    told = story()
    sent = 101.5  # issued and activated are acknowledged
    assert judge(told)(check(told, sent, 15, "NO_MACHINES", age_ms=900)) is Judged.WRONG_DENIAL
    assert judge(told)(check(told, sent, 0, "NOT_FOUND", age_ms=2_000)) is Judged.WRONG_DENIAL
    assert judge(told)(check(told, sent, 20, "VALID")) is Judged.FRESH
    # Revoked since 103: who has not heard of it approves, with its age.
    assert judge(told)(check(told, 110.0, 25, "VALID", age_ms=8_200)) is Judged.STALE
    assert judge(told)(check(told, 110.0, 35, "SUSPENDED", age_ms=7_500)) is Judged.STALE
    assert judge(told)(check(told, 110.0, 40, "VALID")) is Judged.WRONG_APPROVAL


def test_an_old_no_that_is_true_again_is_no_invention() -> None:
    told = story()
    told.changes[1:] = [replace(told.changes[1], state=State(machines=frozenset({"f"})))]
    told.note(Change(offset=50, state=State(), at=104.0, begun=103.9))
    assert judge(told)(check(told, 103.0, 15, "NO_MACHINES", age_ms=3_000)) is Judged.WRONG_DENIAL
    assert judge(told)(check(told, 105.0, 15, "NO_MACHINES", age_ms=5_000)) is Judged.STALE


def test_an_age_that_denies_what_the_answer_lacks_is_wrong() -> None:
    told = story()
    # What was acknowledged at 102 isn't in it, and it says it knew the log's end 0.1 s ago.
    assert judge(told)(check(told, 110.0, 25, "VALID", age_ms=100)) is Judged.WRONG_AGE
    assert judge(told)(check(told, 110.0, 25, "VALID", age_ms=8_100)) is Judged.STALE


def test_what_is_written_and_not_decided_makes_old_and_denies_nothing() -> None:
    told = Story(partition=3)
    told.note(Change(offset=10, state=State(), at=100.0, begun=99.0))
    active = State(machines=frozenset({"f"}))
    told.note(Change(offset=20, state=active, at=130.0, begun=104.0, written=105.0))
    assert judge(told)(check(told, 110.0, 15, "NO_MACHINES", age_ms=5_100)) is Judged.STALE
    assert judge(told)(check(told, 110.0, 15, "NO_MACHINES", age_ms=100)) is Judged.WRONG_AGE


def test_an_age_longer_than_the_ledger_runs_is_wrong() -> None:
    told = story()
    assert judge(told)(check(told, 110.0, 41, "NOT_FOUND", age_ms=120_000)) is Judged.WRONG_AGE


def test_nothing_is_younger_than_the_standstill() -> None:
    told, still = story(), Standstill(since=105.0, until=125.0, sources=["REPLICA_A"])
    old = check(told, 120.0, 41, "NOT_FOUND", age_ms=15_100)
    assert judge(told, (still,))(old) is Judged.STALE
    assert judge(told, (still,))(check(told, 120.0, 41, "NOT_FOUND")) is Judged.WRONG_AGE
    other = replace(still, sources=["REPLICA_B"])
    assert judge(told, (other,))(check(told, 120.0, 41, "NOT_FOUND")) is Judged.FRESH


def test_what_nobody_has_settled_may_have_happened_or_not() -> None:
    told = Story(partition=3)
    told.note(Change(offset=10, state=State(), at=100.0))
    told.unsettled = (105.0, State(machines=frozenset({"f"})))
    assert judge(told)(check(told, 106.0, 12, "VALID")) is Judged.FRESH
    assert judge(told)(check(told, 106.0, 12, "NO_MACHINES")) is Judged.FRESH
    assert judge(told)(check(told, 101.0, 12, "VALID")) is Judged.WRONG_APPROVAL


@given(st.integers(-5_000, 5_000))
def test_expiry_is_told_within_a_second_of_its_moment(apart_ms: int) -> None:
    told = Story(partition=3)
    sent = 200.0
    expiry_ms = int(NOW_MS + sent * 1000 + apart_ms)
    told.note(Change(offset=1, state=State(expiry_ms=expiry_ms, machines=frozenset("f")), at=1.0))
    valid = judge(told)(check(told, sent, 5, "VALID"))
    expired = judge(told)(check(told, sent, 5, "EXPIRED"))
    assert (valid is Judged.FRESH) == (apart_ms > -1_000)
    assert (expired is Judged.FRESH) == (apart_ms <= 1_010)


@given(
    st.lists(st.sampled_from(STATES), min_size=1, max_size=6),
    st.floats(90, 120),
    st.integers(0, 70),
)
def test_whoever_answers_from_what_is_acknowledged_by_its_own_position_is_right(
    states: list[State], sent: float, ahead: int
) -> None:
    told = Story(partition=3)
    for number, state in enumerate(states):
        told.note(Change(offset=10 * number, state=state, at=100.0 + number))
    offset = told.floor(sent) + ahead
    right = check(told, sent, offset, code(told.at(offset), "f", NOW_MS))
    assert judge(told)(right) is Judged.FRESH


def test_503_and_silence_are_counted_by_what_was_owed() -> None:
    told = story()
    silent = replace(check(told, 101.5, 0, "VALID"), said=None)
    away = replace(silent, unavailable=True)
    absent = replace(away, fingerprint="g")
    judged = [(judge(told)(each), each) for each in (silent, away, absent)]
    assert [each for each, _ in judged] == ["unanswered", "503", "503"]
    counts = count(judged, began=100, ended=110, tries={}, moments=[50.0], moment_s=5)
    figures = counts.figures
    assert (figures.unanswered, figures.unavailable, figures.unavailable_owed) == (1, 2, 1)
    assert counts.not_answered == 2
    assert [each for _, each in counts.out_of_moment] == [silent, away]
    counts = count(judged, began=100, ended=110, tries={}, moments=[101.0], moment_s=5)
    assert counts.out_of_moment == []
