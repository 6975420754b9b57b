"""Days to full, from made-up histories: a range, nothing falsely precise, an alarm days before."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry

from projector.capacity.forecast import (
    DAY_S,
    Pace,
    Seen,
    Store,
    first_to_fill,
    grown,
    is_alarming,
    outlook,
)
from projector.capacity.watch import ALARMS, Told
from projector.capacity.wording import told, when

GIB = 1 << 30
HOUR_S = 3_600.0


def store(room: float, *paces: tuple[float, float], size: float = 100, unknown: str = "") -> Store:
    """A store of GiB: `room` of `size` are left; paces of GiB a day, seen over so many days."""
    return Store(
        name="kafka-1",
        size=int(size * GIB),
        room=int(room * GIB),
        paces=[Pace(bytes_a_day=gib * GIB, span_s=days * DAY_S) for gib, days in paces],
        unknown=unknown,
    )


@pytest.mark.parametrize(
    ("filling", "said"),
    [
        (store(60, (6, 1), (3, 7), (4, 30)), "in 10 to 20 days"),
        (store(60, (6, 1), (6.01, 7)), "in about 10 days"),
        (store(60, (6, 7), (0, 1)), "in 10 days, or later"),
        (store(6, (6, 1)), "in about 24 hours"),
        (store(6, (6, 1), (1, 7)), "in 24 hours to 6 days"),
        (store(60, (0.03, 30)), "in about 5 years"),
        (store(60, (1, 1 / 24)), "not in sight (not within 4 days)"),
        (store(60, (60, 1 / 24)), "in about 24 hours"),
        (store(60, (0, 1), (-5, 7)), "not in sight (not within 700 days)"),
        (store(0, (6, 1)), "now"),
        (store(60, (60, 1 / 48)), "unknown: seen for 30 min only"),
        (store(60, unknown="fewer than 1,000 licenses"), "unknown: fewer than 1,000 licenses"),
        (Store(name="kafka-1"), "unknown: what is left isn't told"),
    ],
)
def test_when_it_is_full(filling: Store, said: str) -> None:
    assert when(outlook(filling)) == said


def test_a_pace_is_believed_for_a_hundred_times_as_long_as_it_was_seen() -> None:
    assert outlook(store(60, (15, 1 / 24))).earliest == pytest.approx(4.0)
    assert outlook(store(60, (14, 1 / 24))).earliest is None
    assert outlook(store(60, (14, 1))).earliest == pytest.approx(60 / 14)


def test_it_alarms_by_days_and_by_what_is_left() -> None:
    assert is_alarming(store(60, (5, 1)))
    assert not is_alarming(store(60, (4, 1)))
    assert is_alarming(store(60, (4, 1)), warn_days=16)
    assert is_alarming(store(9.9))
    assert not is_alarming(store(10.1))
    # The earliest of what was seen counts.
    assert is_alarming(store(60, (1, 30), (5, 1)))
    assert not is_alarming(Store(name="redis-A", unknown="it doesn't answer"))


def test_the_first_to_fill_is_named() -> None:
    slow, fast, unknown = store(60, (1, 1)), store(50, (2, 1)), Store(name="redis-A")
    assert first_to_fill([slow, unknown, fast]) is fast
    assert first_to_fill([fast, store(0)]) == store(0)
    assert first_to_fill([unknown, store(60, (0, 1))]) is None


def test_a_pace_is_what_takes_the_bytes_times_what_came_of_it() -> None:
    assert grown(1_000, came=50, total=200, span_s=DAY_S / 2).bytes_a_day == 500
    assert grown(0, came=0, total=0, span_s=DAY_S).bytes_a_day == 0


def test_what_was_seen_is_of_the_last_hour_and_of_a_day() -> None:
    seen = Seen()
    for minute in range(30 * 60):
        # A gibibyte an hour, in the last two hours five.
        late = max(0, minute - 28 * 60)
        seen.note(minute * 60.0, int((1_000 - minute / 60 - 4 * late / 60) * GIB))
    whole, hour = seen.paces()
    assert whole.span_s == pytest.approx(DAY_S, abs=60)
    assert hour.span_s == pytest.approx(HOUR_S, abs=60)
    assert hour.bytes_a_day == pytest.approx(5 * 24 * GIB, rel=0.01)
    assert whole.bytes_a_day == pytest.approx((24 + 4 * 119 / 60) * GIB, rel=0.01)


def test_what_was_seen_for_less_than_an_hour_says_nothing() -> None:
    seen = Seen()
    assert seen.paces() == []
    for minute in range(60):
        seen.note(minute * 60.0, GIB)
    assert seen.paces() == []
    seen.note(HOUR_S, GIB)
    assert [pace.bytes_a_day for pace in seen.paces()] == [0]


class Watched:
    """A volume of 100 GiB that is looked at every minute; `raised`: days left at each alarm."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.raised: list[float] = []
        self.left_days = math.inf
        self._told = Told(self.registry, lambda *_: self.raised.append(self.left_days))

    def look(self, minute: int, room_gib: float) -> None:
        self._told.tell([store(room_gib)], minute * 60.0)

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"ledger_capacity_{name}", {"store": "kafka-1"})


def test_a_volume_that_fills_steadily_alarms_days_before_it_is_full() -> None:
    watched, a_day = Watched(), 3.0
    for minute in range(0, 30 * 24 * 60, 10):
        room = 80 - a_day * minute / 1440
        watched.left_days = room / a_day
        watched.look(minute, room)
        if room < 30:
            break
    first, *again = watched.raised
    assert 13.9 < first <= 14.0
    days = watched.metric("days_to_full")
    assert days is not None
    assert days == pytest.approx(watched.left_days, rel=0.01)
    assert watched.metric("room_bytes") == pytest.approx(room * GIB, abs=1)
    # It comes again every six hours while nobody sees to it.
    assert len(again) == pytest.approx((first - watched.left_days) * 4, abs=1)


def test_what_eats_the_disk_in_an_afternoon_alarms_within_two_hours() -> None:
    watched = Watched()
    for minute in range(24 * 60):
        watched.look(minute, 80)
    assert watched.raised == []
    for minute in range(24 * 60, 26 * 60):
        watched.look(minute, 80 - 10 * (minute - 24 * 60) / 60)
    assert watched.raised


def test_an_import_of_an_hour_alarms_nobody() -> None:
    watched = Watched()
    for minute in range(48 * 60):
        # Two gibibytes in the 20th hour: at that pace full in less than two days, but for an hour.
        watched.look(minute, 90 - min(1.0, max(0.0, (minute - 20 * 60) / 60)) * 0.5)
    assert watched.raised == []


def test_an_alarm_ends_with_what_it_was_raised_for() -> None:
    watched = Watched()
    watched.look(0, 5)
    watched.look(1, 5)
    assert len(watched.raised) == 1
    watched.look(2, 50)
    watched.look(3, 5)
    assert len(watched.raised) == 2


def test_what_is_not_looked_at_any_more_has_no_metric() -> None:
    watched = Watched()
    watched.look(0, 50)
    watched._told.tell([], 60.0)  # noqa: SLF001 - a broker that is away
    assert watched.metric("room_bytes") is None


def test_an_alarm_names_store_room_and_days() -> None:
    assert told(store(6, (6, 1))) == "kafka-1: 6.0 GiB of 100.0 GiB left, full in about 24 hours"
    assert {ALARMS[name[:5]] for name in ("kafka-3", "redis-B", "local-copy")} == {*ALARMS.values()}
