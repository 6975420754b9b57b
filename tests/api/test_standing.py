"""How a replica stands, and the order in which replicas are tried."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from api.standing import AGE_SLACK_MS, Standing, highest_seen, in_order
from projector.read_model.keys import CATALOG
from projector.views.documents import Head

NOW_MS = 1_700_000_000_000


class Time:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def a_replica(name: str = "A", *, time: Time | None = None, position: int = 10) -> Standing:
    clock = time or Time()
    standing = Standing(name, 2, clock)
    standing.note_time(NOW_MS, clock.s)
    look(standing, position=position)
    return standing


def look(
    standing: Standing,
    *,
    position: int,
    level_at_ms: int = NOW_MS,
    before: Sequence[int] | None = None,
) -> list[int]:
    head = Head(position=position, level_at_ms=level_at_ms)
    return standing.note_heads([head, head, head], before or list(standing.position))


def test_a_replica_that_was_level_is_in_service() -> None:
    standing = a_replica()
    assert standing.in_service(0)
    assert standing.serving == 2
    assert standing.age_ms(0) == 0


def test_an_empty_one_and_one_that_never_was_level_are_not() -> None:
    standing = Standing("A", 2)
    assert not standing.has_level(0)
    look(standing, position=0, level_at_ms=0)
    assert not standing.has_level(0)
    look(standing, position=5, level_at_ms=0)
    assert not standing.has_level(0)
    assert standing.oldest_ms is None


def test_the_clock_is_carried_and_then_forgotten() -> None:
    time = Time()
    standing = a_replica(time=time)
    time.s += 1.5
    assert standing.now_ms == NOW_MS + 1500
    assert standing.age_ms(0) == 1500
    assert standing.has_clock
    time.s += 60
    assert not standing.has_clock


def test_a_level_in_the_future_is_as_far_off_as_one_in_the_past() -> None:
    standing = a_replica()
    look(standing, position=10, level_at_ms=NOW_MS + 400 * 86_400_000)
    assert standing.age_ms(0) == 400 * 86_400_000


def test_one_that_went_back_is_out_until_it_is_past_what_was_seen() -> None:
    standing = a_replica()
    look(standing, position=7)
    assert standing.position[0] == 7
    assert not standing.in_service(0)
    assert standing.has_level(0)
    look(standing, position=9)
    assert not standing.in_service(0)
    look(standing, position=10)
    assert standing.in_service(0)


def test_an_answer_that_was_overtaken_by_a_publication_is_only_late() -> None:
    standing = a_replica()
    before = list(standing.position)
    assert standing.note_applied(0, 15)
    look(standing, position=12, before=before)
    assert standing.position[0] == 15
    assert standing.in_service(0)
    assert not standing.note_applied(0, 15)


def test_one_that_was_lost_knows_nothing_until_it_is_looked_at() -> None:
    standing = a_replica()
    standing.lose()
    assert not standing.has_level(0)
    assert standing.position[0] == 0
    assert not standing.note_applied(0, 20)


def test_one_that_came_back_serves_only_when_it_was_level_since() -> None:
    time = Time()
    standing = a_replica(time=time)
    standing.lose()
    time.s += 5
    assert look(standing, position=10) == [0, 1, CATALOG]
    assert standing.has_level(0)
    assert not standing.in_service(0)
    look(standing, position=10, level_at_ms=NOW_MS + 4999)
    assert not standing.in_service(0)
    look(standing, position=10, level_at_ms=NOW_MS + 5000)
    assert standing.in_service(0)


def test_the_first_look_asks_for_no_newer_level() -> None:
    time = Time()
    standing = Standing("A", 2, time)
    standing.note_time(NOW_MS, time.s)
    look(standing, position=3, level_at_ms=NOW_MS - 3_600_000)
    assert standing.in_service(0)


def test_what_changed_is_told() -> None:
    standing = a_replica()
    assert look(standing, position=10) == []
    assert look(standing, position=11) == [0, 1, CATALOG]
    assert look(standing, position=11, level_at_ms=NOW_MS + 1) == [0, 1, CATALOG]


def names(standings: Sequence[Standing]) -> str:
    return "".join(each.name for each in in_order(standings, 0))


def test_a_is_tried_first_where_both_are_level() -> None:
    time = Time()
    a, b = a_replica("A", time=time), a_replica("B", time=time)
    assert names([a, b]) == "AB"
    look(a, position=10, level_at_ms=NOW_MS - AGE_SLACK_MS)
    assert names([a, b]) == "AB"


def test_b_is_tried_first_where_a_is_older_out_of_service_or_lost() -> None:
    time = Time()
    a, b = a_replica("A", time=time), a_replica("B", time=time)
    look(a, position=10, level_at_ms=NOW_MS - AGE_SLACK_MS - 1)
    assert names([a, b]) == "BA"
    look(a, position=10)
    assert names([a, b]) == "AB"
    a.leave([0])
    time.s += 1
    a.leave([0])
    assert names([a, b]) == "BA"
    a, b = a_replica("A", time=time), a_replica("B", time=time)
    a.lose()
    assert names([a, b]) == "BA"


def test_while_the_log_is_away_both_grow_old_and_a_stays_first() -> None:
    time = Time()
    a, b = a_replica("A", time=time), a_replica("B", time=time)
    time.s += 3600
    assert names([a, b]) == "AB"
    assert a.in_service(0)


def test_where_none_serves_the_furthest_is_tried_first() -> None:
    time = Time()
    a, b = a_replica("A", time=time), a_replica("B", time=time)
    look(a, position=6)
    look(b, position=8)
    assert names([a, b]) == "BA"
    assert highest_seen([a, b], 0) == 10


@pytest.mark.parametrize("jump_ms", [600_000, -600_000, 400 * 86_400_000])
def test_a_clock_that_was_set_makes_nothing_older_or_younger(jump_ms: int) -> None:
    time = Time()
    replica = a_replica(time=time)
    time.s += 0.3
    assert replica.age_ms(0) == 300
    replica.note_time(NOW_MS + 300 + jump_ms, time.s)
    assert replica.age_ms(0) == 300
    # Level once more before it was set, which no look has seen yet.
    assert replica.age_ms(0, NOW_MS + 250) == 50
    time.s += 900
    assert replica.age_ms(0) == 900_300
    replica.note_time(NOW_MS + 900_300 + jump_ms, time.s)
    look(replica, position=11, level_at_ms=NOW_MS + 900_100 + jump_ms)
    assert replica.age_ms(0) == 200
    assert replica.in_service(0)


def test_who_left_before_its_clock_was_set_is_back_when_level_after_it() -> None:
    time = Time()
    replica = a_replica(time=time)
    time.s += 1
    replica.leave([0])
    replica.note_time(NOW_MS + 1_000 - 600_000, time.s)
    look(replica, position=10)
    time.s += 1
    look(replica, position=11, level_at_ms=NOW_MS + 1_500 - 600_000)
    assert replica.in_service(0)


def test_one_that_left_does_not_come_back_by_its_clock_alone() -> None:
    time = Time()
    replica = a_replica(time=time)
    time.s += 1
    replica.leave([0])
    replica.note_time(NOW_MS + 1_000 + 600_000, time.s)
    look(replica, position=11, level_at_ms=NOW_MS + 900)
    assert not replica.in_service(0)
    look(replica, position=11, level_at_ms=NOW_MS + 1_100 + 600_000)
    assert replica.in_service(0)
