"""Laws of the memory of commands: the first verdict, and for how long it is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import identifiers
from ledger.domain.events import EventData, Suspended
from ledger.domain.license import FORGOTTEN_MAX, MEMORY_COMMANDS, MEMORY_MS
from tests.ledger.domain.given import (
    ACCOUNT,
    ACTOR,
    LICENSE,
    NOW_MS,
    PEPPER,
    activation,
    asked,
    command_of,
    deactivation,
    issued,
    license_of,
)
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import requests

DAY_MS = 24 * 3600 * 1000


def test_the_memory_is_24_hours_or_the_last_64_and_forgets_8_an_event() -> None:
    assert (MEMORY_MS, MEMORY_COMMANDS, FORGOTTEN_MAX) == (DAY_MS, 64, 8)


@given(st.lists(requests(), min_size=1, max_size=20), requests(), st.data())
def test_the_same_command_again_has_the_first_verdict_and_changes_nothing(
    before: list[EventData], other: EventData, data: st.DataObject
) -> None:
    replica = Replica()
    first = [
        (event, replica.take(event))
        for event in (asked(one, f"request {number}") for number, one in enumerate(before))
    ]
    event, verdict = data.draw(st.sampled_from(first))
    state = replica.state()
    later = asked(
        data.draw(st.sampled_from([event.data, other])),
        f"request {first.index((event, verdict))}",
        time_ms=NOW_MS + 5_000,
    )
    again = replica.folded(later)
    assert again.verdict == verdict
    assert not again.changed
    assert replica.state() == state


@given(st.lists(requests(), min_size=1, max_size=20), st.data())
def test_the_same_command_with_another_content_is_a_mismatch_and_changes_nothing(
    before: list[EventData], data: st.DataObject
) -> None:
    replica = Replica()
    for number, one in enumerate(before):
        replica.take(asked(one, f"request {number}"))
    state = replica.state()
    number = data.draw(st.integers(0, len(before) - 1))
    mistaken = replica.folded(asked(data.draw(requests()), f"request {number}", content="other"))
    assert mistaken.verdict.code == "idempotency-mismatch"
    assert mistaken.verdict.seats_held == replica.license(LICENSE).seats_held
    assert not mistaken.changed
    assert replica.state() == state
    assert replica.take(asked(Suspended(), f"request {number}")).code != "idempotency-mismatch"


def test_a_refusal_is_remembered_too() -> None:
    """A repetition must not be granted what was refused, though a seat is free by now."""
    replica = Replica()
    replica.take(asked(issued(1), "issue"))
    replica.take(asked(activation("host-1"), "first"))
    refused = replica.take(asked(activation("host-2"), "second"))
    assert refused.code == "machine-limit-exceeded"
    replica.take(asked(deactivation("host-1"), "back"))
    assert replica.take(asked(activation("host-2"), "second")) == refused


def test_a_command_is_of_its_account_actor_and_license() -> None:
    others = {
        identifiers.command_id(PEPPER, ACCOUNT, ACTOR, LICENSE, "key"),
        identifiers.command_id(PEPPER, ACCOUNT, "token:other", LICENSE, "key"),
        identifiers.command_id(PEPPER, ACCOUNT, ACTOR, license_of("other"), "key"),
        identifiers.command_id(PEPPER, LICENSE, ACTOR, LICENSE, "key"),
    }
    assert len(others) == 4
    replica = Replica()
    assert replica.take(asked(issued(1), "key")).granted
    other = license_of("other")
    assert replica.take(asked(issued(1, license_=other), "key", license_=other)).granted


steps = st.one_of(
    st.integers(0, 3_600_000),
    st.integers(MEMORY_MS - 2, MEMORY_MS + 2),
    st.integers(0, 3 * MEMORY_MS),
)


@given(
    st.lists(st.tuples(st.integers(1, 45), steps), min_size=1, max_size=8),
    st.integers(0, MEMORY_COMMANDS + 10),
)
def test_a_command_is_known_for_24_hours_or_as_one_of_the_last_64(
    bursts: list[tuple[int, int]], probed: int
) -> None:
    """After bursts of commands with pauses in between, ask the last ones once more."""
    replica = Replica()
    asked_at: list[int] = []
    forgotten = 0
    for burst, pause_ms in bursts:
        for _ in range(burst):
            event = asked(Suspended(), f"command {len(asked_at)}")
            asked_at.append(replica.elapsed_ms)
            result = replica.folded(event)
            for old in result.forget:
                assert old.command == command_of(f"command {old.offset}")
            assert [old.offset for old in result.forget] == list(
                range(forgotten, forgotten + len(result.forget))
            )
            forgotten += len(result.forget)
            assert len(result.forget) <= FORGOTTEN_MAX
            assert replica.license(LICENSE).commands == len(asked_at) - forgotten
        replica.elapsed_ms += pause_ms
    for number in range(max(0, len(asked_at) - probed), len(asked_at)):
        last = number >= len(asked_at) - MEMORY_COMMANDS
        young = asked_at[-1] - asked_at[number] <= MEMORY_MS
        known = (LICENSE, command_of(f"command {number}")) in replica.verdicts
        assert known or not (last or young)
        assert known == (number >= forgotten)


def test_commands_beyond_both_bounds_are_forgotten_eight_an_event() -> None:
    replica = Replica()
    for number in range(100):
        replica.take(asked(Suspended(), f"command {number}"))
    replica.elapsed_ms += MEMORY_MS
    assert replica.folded(asked(Suspended(), "within the day")).forget == ()
    replica.elapsed_ms += 1
    forgotten = [len(replica.folded(asked(Suspended(), f"later {n}")).forget) for n in range(7)]
    assert forgotten == [8, 8, 8, 8, 8, 3, 1]


def test_nothing_is_forgotten_but_by_a_new_command() -> None:
    replica = Replica()
    for number in range(100):
        replica.take(asked(Suspended(), f"command {number}"))
    replica.elapsed_ms += 100 * DAY_MS
    state = replica.state()
    assert replica.take(asked(Suspended(), "command 0")).offset == 0
    assert replica.state() == state
