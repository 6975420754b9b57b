"""Laws of the seats: none above the limit in force, none twice, the peak is the peak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.events import ActivationRequested, EventData, Issued, TermsChanged
from ledger.domain.license import Machine
from ledger.domain.terms import SEATS_MAX, Overage, OwnTerms, Terms
from ledger.domain.verdicts import Verdict
from tests.ledger.domain.given import LICENSE, activation, asked, deactivation, issued, machine_of
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import HOSTS, OVERAGES, requests, seat_requests

LIMITS: dict[Overage, list[int | None]] = {
    "NO_OVERAGE": [1, 2, 3, 4, 5, 6, 7],
    "ALLOW_1_25X_OVERAGE": [1, 2, 3, 5, 6, 7, 8],
    "ALLOW_1_5X_OVERAGE": [1, 3, 4, 6, 7, 9, 10],
    "ALLOW_2X_OVERAGE": [2, 4, 6, 8, 10, 12, 14],
    "ALWAYS_ALLOW_OVERAGE": [None] * 7,
}
"""Limits of one to seven seats, counted out by hand."""


def _held(replica: Replica) -> list[Machine]:
    """Machines that hold seats of the license now, read from their own documents."""
    license_ = replica.license(LICENSE)
    machines = (replica.machine(machine_of(host)) for host in HOSTS)
    if license_.status != "live":
        return []
    return [machine for machine in machines if machine and machine.epoch == license_.epoch]


@pytest.mark.parametrize("overage", OVERAGES)
@given(seats=st.integers(1, 7), asked_for=st.lists(seat_requests(), max_size=30))
def test_no_grant_is_above_the_limit(
    overage: Overage, seats: int, asked_for: list[EventData]
) -> None:
    limit = LIMITS[overage][seats - 1]
    replica = Replica()
    replica.take(asked(issued(seats, overage=overage), "issue"))
    for number, data in enumerate(asked_for):
        before = sum(machine.seats for machine in _held(replica))
        verdict = replica.take(asked(data, f"request {number}"))
        held = sum(machine.seats for machine in _held(replica))
        assert verdict.limit == limit
        assert held == verdict.seats_held == replica.license(LICENSE).seats_held
        assert limit is None or held <= limit
        if isinstance(data, ActivationRequested) and verdict.code == "machine-limit-exceeded":
            assert limit is not None
            assert before + data.seats > limit
        assert len(_held(replica)) == replica.license(LICENSE).machines


@given(st.lists(requests(), max_size=40))
def test_no_grant_is_above_the_limit_in_force_whatever_happens(all_: list[EventData]) -> None:
    """Also with terms that are lowered and raised, and with incarnations."""
    replica = Replica()
    replica.take(asked(issued(5), "issue"))
    for number, data in enumerate(all_):
        before = replica.license(LICENSE).seats_held
        verdict = replica.take(asked(data, f"request {number}"))
        license_ = replica.license(LICENSE)
        if license_.seats_held > before:
            assert license_.limit is None or license_.seats_held <= license_.limit
            assert verdict.granted
            assert isinstance(data, ActivationRequested)
        assert license_.seats_held == sum(machine.seats for machine in _held(replica))
        assert license_.machines == len(_held(replica))


@given(st.integers(1, 6), st.integers(1, 6))
def test_lowered_terms_evict_nobody(seats: int, lowered: int) -> None:
    replica = Replica()
    replica.take(asked(issued(seats), "issue"))
    for number in range(seats):
        replica.take(asked(activation(HOSTS[number]), f"activate {number}"))
    verdict = replica.take(asked(TermsChanged(own=OwnTerms(max_machines=lowered)), "lower"))
    assert (verdict.code, verdict.seats_held, verdict.limit) == ("granted", seats, lowered)
    assert len(_held(replica)) == seats
    code = replica.take(asked(activation("host-new"), "one more")).code
    assert (code == "granted") == (seats < lowered)


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 95]))
def test_a_fingerprint_again_is_held_already_before_the_limit(
    seats: int, again: int, free: int
) -> None:
    replica = Replica()
    replica.take(asked(issued(seats + free), "issue"))
    replica.take(asked(activation("host-1", seats), "first"))
    document = replica.machines[machine_of("host-1")]
    verdict = replica.take(asked(activation("host-1", again), "again"))
    assert verdict.code == ("already-held" if again == seats else "seats-differ")
    assert verdict.machine == machine_of("host-1")
    assert verdict.seats_held == seats
    assert replica.machines[machine_of("host-1")] == document


@given(st.lists(seat_requests(), max_size=30))
def test_a_seat_given_back_can_be_taken_again(asked_for: list[EventData]) -> None:
    replica = Replica()
    replica.take(asked(issued(4), "issue"))
    for number, data in enumerate(asked_for):
        replica.take(asked(data, f"request {number}"))
    for host in HOSTS:
        replica.take(asked(deactivation(host), f"back {host}"))
    assert replica.machines == {}
    assert replica.license(LICENSE).seats_held == 0
    assert replica.take(asked(activation("host-new", 4), "all four")).granted


@given(st.lists(requests(), max_size=40))
def test_the_peak_is_the_most_ever_held_and_where_it_first_was(all_: list[EventData]) -> None:
    replica = Replica()
    seen: list[tuple[int, int]] = []
    for number, data in enumerate([issued(6), *all_]):
        verdict = replica.take(asked(data, f"request {number}"))
        if isinstance(data, Issued) and verdict.granted:
            seen = []
        if replica.license(LICENSE).status == "revoked":
            assert replica.license(LICENSE).seats_peak == 0
            continue
        seen.append((replica.license(LICENSE).seats_held, number))
        peak = max(held for held, _ in seen)
        at = next(offset for held, offset in seen if held == peak) if peak else 0
        license_ = replica.license(LICENSE)
        assert (license_.seats_peak, license_.seats_peak_offset) == (peak, at)


def test_seats_add_up_beyond_what_one_request_can_ask_for() -> None:
    replica = Replica()
    replica.take(asked(issued(None), "issue"))
    for host in HOSTS:
        verdict = replica.take(asked(activation(host, SEATS_MAX), host))
    assert verdict.seats_held == len(HOSTS) * SEATS_MAX
    twice = Terms(max_machines=SEATS_MAX, overage="ALLOW_2X_OVERAGE")
    lowered = asked(TermsChanged(terms=twice), "limit")
    assert replica.take(replace(lowered, policy_version=1)).limit == 2 * SEATS_MAX


def test_a_machine_of_another_license_is_no_machine_of_this_one() -> None:
    """Whatever id a stranger's event names, no license gives back what it does not hold."""
    replica = Replica()
    replica.take(asked(issued(2), "issue"))
    replica.take(asked(activation("host-1"), "first"))
    machine = replica.machine(machine_of("host-1"))
    assert machine is not None
    stranger = "1" * 8 + LICENSE[8:]
    replica.machines[machine.id] = replica.machines[machine.id].replace(
        LICENSE.encode(), stranger.encode()
    )
    verdict: Verdict = replica.take(asked(deactivation("host-1"), "back"))
    assert (verdict.code, verdict.seats_held) == ("no-machine", 1)
