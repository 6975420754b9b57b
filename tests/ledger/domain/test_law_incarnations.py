"""Laws of a license's lives: key taken, tombstone, a new incarnation, refusals that stay."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.events import EventData, Issued, Reinstated, Revoked, TermsChanged
from ledger.domain.license import License
from ledger.domain.terms import OwnTerms, Terms
from tests.ledger.domain.given import (
    LICENSE,
    NOW_MS,
    activation,
    asked,
    deactivation,
    issued,
    machine_of,
    sealed,
)
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import HOSTS, own_terms, requests, terms

COUNTED_ONLY = {"already-applied", "idempotency-mismatch", "sources-exceeded", "granted"}
"""Verdicts that count as no refusal."""


def _live(requests_: list[EventData]) -> Replica:
    replica = Replica()
    replica.take(asked(issued(4), "issue"))
    for number, data in enumerate(requests_):
        replica.take(asked(data, f"request {number}"))
    return replica


@given(st.lists(requests().filter(lambda data: not isinstance(data, Revoked)), max_size=20))
def test_a_key_is_taken_as_long_as_its_license_lives(all_: list[EventData]) -> None:
    replica = _live(all_)
    before = replica.license(LICENSE)
    verdict = replica.take(asked(issued(99), "the same key"))
    assert verdict.code == "key-taken"
    after = replica.license(LICENSE)
    assert replace(after, refusals={}, commands=0) == replace(before, refusals={}, commands=0)


@given(st.lists(requests(), max_size=25))
def test_a_revoked_license_keeps_what_the_next_life_goes_on_from(all_: list[EventData]) -> None:
    replica = _live(all_)
    replica.take(asked(issued(1), "issue, if need be"))
    before = replica.license(LICENSE)
    replica.take(asked(Revoked(), "the end"))
    tombstone = replica.license(LICENSE)
    assert tombstone == License(
        id=LICENSE,
        status="revoked",
        epoch=before.epoch,
        account=before.account,
        product=before.product,
        policy=before.policy,
        policy_version=before.policy_version,
        issued_ms=before.issued_ms,
        issued_offset=before.issued_offset,
        changed_ms=NOW_MS,
        refusals=before.refusals,
        commands=before.commands + 1,
        sources=before.sources,
    )


@given(st.lists(requests().filter(lambda data: not isinstance(data, Issued)), max_size=20))
def test_to_a_revoked_license_all_is_not_found(all_: list[EventData]) -> None:
    replica = _live([activation("host-1"), Revoked()])
    codes = {replica.take(asked(data, f"late {number}")).code for number, data in enumerate(all_)}
    assert codes <= {"not-found"}
    assert replica.license(LICENSE).status == "revoked"


@given(st.lists(requests(), max_size=25), terms(), own_terms())
def test_a_new_incarnation_is_the_license_that_was_issued(
    all_: list[EventData], terms_: Terms, own: OwnTerms
) -> None:
    """As a first one on the same terms, but for the epoch and what is counted for ever."""
    replica, fresh = _live(all_), Replica()
    replica.take(asked(Revoked(), "the end"))
    epoch = replica.license(LICENSE).epoch
    again = asked(issued(terms=terms_, own=own), "a new life")
    verdict = replica.take(again)
    fresh.offset = verdict.offset
    fresh.take(again)
    assert verdict.epoch == epoch + 1
    found, expected = replica.license(LICENSE), fresh.license(LICENSE)
    kept = {"epoch": 1, "refusals": {}, "commands": 1}
    assert replace(found, **kept) == expected
    for host in HOSTS:
        assert replica.take(asked(deactivation(host), f"old {host}")).code == "no-machine"


def test_machines_of_an_older_life_hold_nothing_and_may_come_again() -> None:
    replica = _live([activation("host-1", 3), Revoked(), issued(2)])
    assert replica.license(LICENSE).seats_held == 0
    old = replica.machine(machine_of("host-1"))
    assert old is not None
    assert old.epoch == 1
    assert replica.take(asked(deactivation("host-1"), "of the old life")).code == "no-machine"
    assert replica.machine(machine_of("host-1")) == old
    assert replica.take(asked(activation("host-1", 2), "again")).granted
    new = replica.machine(machine_of("host-1"))
    assert new is not None
    assert (new.epoch, new.seats) == (2, 2)


@given(st.lists(requests(), max_size=40))
def test_every_refusal_is_counted_in_every_life(all_: list[EventData]) -> None:
    replica = Replica()
    expected: Counter[str] = Counter()
    for number, data in enumerate(all_):
        verdict = replica.take(asked(data, f"request {number}"))
        if verdict.code not in COUNTED_ONLY:
            expected[verdict.code] += 1
        elif verdict.granted and hasattr(data, "kind"):
            expected[f"imported-{data.kind}"] += 1
        assert replica.license(LICENSE).refusals == expected


@given(st.lists(requests(), max_size=20), requests())
def test_a_refusal_says_what_was_held_and_allowed_and_changes_no_more(
    all_: list[EventData], last: EventData
) -> None:
    replica = _live(all_)
    before, machines = replica.license(LICENSE), dict(replica.machines)
    verdict = replica.take(asked(last, "the last"))
    if not verdict.granted:
        after = replica.license(LICENSE)
        assert (verdict.seats_held, verdict.limit) == (before.seats_held, before.limit)
        assert after.refusals[verdict.code] == before.refusals.get(verdict.code, 0) + 1
        assert after == replace(before, refusals=after.refusals, commands=after.commands)
        assert replica.machines == machines


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=15))
def test_older_terms_of_the_policy_are_stale(changes: list[tuple[int, int]]) -> None:
    replica = Replica()
    replica.take(asked(issued(7), "issue"))
    version, seats = 0, 7
    for number, (of_version, to_seats) in enumerate(changes):
        changed = asked(TermsChanged(terms=Terms(max_machines=to_seats)), f"change {number}")
        code = replica.take(replace(changed, policy_version=of_version)).code
        assert code == ("granted" if of_version >= version else "stale-terms")
        if of_version >= version:
            version, seats = of_version, to_seats
        license_ = replica.license(LICENSE)
        assert (license_.policy_version, license_.limit) == (version, seats)


@given(own_terms(), st.lists(terms(), min_size=1, max_size=5))
def test_a_fan_out_changes_only_what_the_policy_sets(own: OwnTerms, policys: list[Terms]) -> None:
    replica = Replica()
    named = replace(issued(1), own=own, name="Name", metadata='{"a":1}')
    replica.take(asked(named, "issue"))
    for version, terms_ in enumerate(policys, 1):
        changed = asked(TermsChanged(terms=terms_), f"fan-out {version}")
        replica.take(replace(changed, policy_version=version))
    license_ = replica.license(LICENSE)
    assert license_.terms == policys[-1]
    assert (license_.own, license_.name, license_.metadata) == (own, "Name", '{"a":1}')
    if own.max_machines is not None and license_.terms.overage == "NO_OVERAGE":
        assert license_.limit == own.max_machines
    if own.expiry_ms is not None:
        assert license_.expiry_ms == own.expiry_ms


def test_a_change_by_hand_leaves_alone_what_it_does_not_name() -> None:
    replica = Replica()
    named = replace(issued(1), name="Name", metadata='{"a":1}', key=sealed("LIC-GOLDEN"))
    replica.take(asked(named, "issue"))
    replica.take(asked(TermsChanged(name=None), "clear the name"))
    license_ = replica.license(LICENSE)
    assert (license_.name, license_.metadata, license_.terms) == (None, '{"a":1}', named.terms)
    replica.take(asked(TermsChanged(metadata='{"b":2}', own=OwnTerms(max_machines=5)), "set"))
    license_ = replica.license(LICENSE)
    assert (license_.metadata, license_.limit) == ('{"b":2}', 5)
    replica.take(asked(TermsChanged(own=OwnTerms()), "back to the policy's"))
    assert replica.license(LICENSE).limit == 1


def test_reinstating_does_not_bring_time_back() -> None:
    replica = Replica()
    replica.take(asked(issued(1, duration_s=60), "issue"))
    replica.take(asked(activation("host-1"), "on time", time_ms=NOW_MS + 59_999))
    late = asked(activation("host-2"), "late", time_ms=NOW_MS + 60_000)
    assert replica.take(late).code == "expired"
    assert replica.take(asked(Reinstated(), "reinstate")).code == "not-suspended"
