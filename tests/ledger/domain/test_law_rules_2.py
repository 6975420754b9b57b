"""Laws of what rules version 2 added: uses, the start of a duration, transfers, entitlements."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain import rules1
from ledger.domain.clocks import from_rfc3339
from ledger.domain.events import (
    EntitlementsAttached,
    EntitlementsDetached,
    EventData,
    Revoked,
    TermsChanged,
    Transferred,
    UsageRecorded,
)
from ledger.domain.license import License
from ledger.domain.spans import next_check_in_ms
from ledger.domain.terms import SEATS_MAX, TIME_MS_MAX, CheckInInterval, OwnTerms, Terms, max_uses
from ledger.event_log.codec import decode, encode
from tests.ledger.domain.given import LICENSE, NOW_MS, POLICY, PRODUCT, asked, issued, least_rules
from tests.ledger.domain.replica import Replica
from tests.ledger.domain.strategies import TIMES, later_requests, later_terms, own_terms, requests

ELSEWHERE = "00000000-0000-4000-8000-0000000000ee"


def _issued(terms: Terms, own: OwnTerms | None = None) -> Replica:
    replica = Replica()
    assert replica.take(asked(issued(terms=terms, own=own), "issue")).granted
    return replica


@given(later_terms(), st.lists(requests(), max_size=40))
def test_uses_are_never_above_the_most_nor_below_none(terms: Terms, all_: list[EventData]) -> None:
    replica = _issued(terms)
    for number, data in enumerate(all_):
        before = replica.license(LICENSE)
        granted = replica.take(asked(data, f"request {number}")).granted
        after = replica.license(LICENSE)
        assert 0 <= after.uses <= SEATS_MAX
        if granted and isinstance(data, UsageRecorded) and data.action == "increment":
            assert after.terms is not None
            most = max_uses(after.terms, after.own)
            assert after.uses == before.uses + data.by
            assert most is None or after.uses <= most


@given(later_terms(), st.lists(st.tuples(requests(), TIMES), max_size=40))
def test_a_duration_begins_at_most_once_unless_a_transfer_resets_it(
    terms: Terms, all_: list[tuple[EventData, int]]
) -> None:
    replica = _issued(terms)
    for number, (data, time_ms) in enumerate(all_):
        before = replica.license(LICENSE)
        replica.take(asked(data, f"request {number}", time_ms=time_ms))
        after = replica.license(LICENSE)
        resets = isinstance(data, Transferred) and data.expiry == "RESET_EXPIRY"
        same_life = after.epoch == before.epoch and after.status == "live"
        if before.started_ms is not None and same_life and not resets:
            assert after.started_ms == before.started_ms


@given(later_terms(), own_terms(), later_terms(), st.lists(requests(), max_size=10))
def test_keeping_the_expiry_changes_none_that_there_is(
    terms: Terms, own: OwnTerms, others: Terms, all_: list[EventData]
) -> None:
    replica = _issued(terms, own)
    for number, data in enumerate(all_):
        if not isinstance(data, Revoked):
            replica.take(asked(data, f"request {number}"))
    before = replica.license(LICENSE)
    moved = Transferred(policy=ELSEWHERE, product=PRODUCT, terms=others)
    assert replica.take(asked(moved, "move", time_ms=NOW_MS + 1)).granted
    after = replica.license(LICENSE)
    assert before.terms is not None
    begins_yet = before.expiry_ms is None and before.terms.duration_s and not before.endless
    assert begins_yet or after.expiry_ms == before.expiry_ms
    resetting = replace(moved, expiry="RESET_EXPIRY")
    assert replica.take(asked(resetting, "reset", time_ms=NOW_MS + 2)).granted
    lasts_ms = None if others.duration_s is None else others.duration_s * 1000
    expected = None if lasts_ms is None else NOW_MS + 2 + lasts_ms
    assert replica.license(LICENSE).expiry_ms == expected


@given(st.lists(later_requests(), max_size=40))
def test_entitlements_are_those_attached_and_not_detached_since(all_: list[EventData]) -> None:
    replica = _issued(Terms(max_machines=1))
    expected: set[str] = set()
    for number, data in enumerate(all_):
        granted = replica.take(asked(data, f"request {number}")).granted
        if isinstance(data, EntitlementsAttached):
            assert granted == expected.isdisjoint(data.entitlements)
            expected |= set(data.entitlements) if granted else set()
        if isinstance(data, EntitlementsDetached):
            assert granted == expected.issuperset(data.entitlements)
            expected -= set(data.entitlements) if granted else set()
        assert set(replica.license(LICENSE).entitlements) == expected


@given(later_terms(), st.lists(requests(), max_size=20))
def test_nothing_that_rules_2_added_outlives_a_revocation(
    terms: Terms, all_: list[EventData]
) -> None:
    replica = _issued(terms)
    for number, data in enumerate(all_):
        replica.take(asked(data, f"request {number}"))
    replica.take(asked(Revoked(), "revoke"))
    ended, none = replica.license(LICENSE), License(id=LICENSE)
    for name in ("uses", "started_ms", "endless", "last_validated_ms", "last_check_in_ms"):
        assert getattr(ended, name) == getattr(none, name)
    assert ended.entitlements == {}


@given(st.lists(requests(), max_size=30))
def test_what_rules_1_can_say_is_decided_alike_under_either_version(
    all_: list[EventData],
) -> None:
    early = [data for data in all_ if least_rules(data) == 1]
    first, second = Replica(), Replica()
    for number, data in enumerate([issued(4), *early]):
        event = asked(data, f"request {number}")
        later = replace(event, rules=2)
        assert (
            decode(LICENSE.encode(), encode(later)).data
            == decode(LICENSE.encode(), encode(event)).data
        )
        first.take(event)
        second.take(later)
    assert second.state() == first.state()


def test_rules_1_know_no_field_that_came_later() -> None:
    assert set(rules1.Terms.__struct_fields__) < set(Terms.__struct_fields__)
    assert set(rules1.OwnTerms.__struct_fields__) < set(OwnTerms.__struct_fields__)


@pytest.mark.parametrize(
    ("last", "interval", "count", "due"),
    [
        ("2020-01-31T08:00:00.123Z", "day", 2, "2020-02-02T08:00:00.123Z"),
        ("2020-01-31T08:00:00.123Z", "week", 1, "2020-02-07T08:00:00.123Z"),
        ("2020-01-31T08:00:00.123Z", "month", 1, "2020-02-29T08:00:00.123Z"),
        ("2020-12-31T23:59:59.999Z", "month", 2, "2021-02-28T23:59:59.999Z"),
        ("2020-02-29T00:00:00.000Z", "year", 1, "2021-02-28T00:00:00.000Z"),
        ("2020-12-01T00:00:00.000Z", "month", 1, "2021-01-01T00:00:00.000Z"),
        ("9990-12-01T00:00:00.000Z", "year", 365, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_the_next_check_in_is_by_the_calendar(
    last: str, interval: CheckInInterval, count: int, due: str
) -> None:
    terms = Terms(
        max_machines=1,
        require_check_in=True,
        check_in_interval=interval,
        check_in_interval_count=count,
    )
    license_ = License(id=LICENSE, terms=terms, last_check_in_ms=from_rfc3339(last))
    assert next_check_in_ms(license_) == from_rfc3339(due)


@given(later_terms(), later_terms(), later_terms(), st.integers(0, 9), st.integers(0, 9))
def test_a_policy_s_terms_don_t_follow_a_license_that_was_transferred(
    first: Terms, late: Terms, others: Terms, of_version: int, moved_version: int
) -> None:
    moved = Transferred(policy=ELSEWHERE, product=PRODUCT, terms=others)
    transferred = replace(asked(moved, "move", rules=2), policy_version=moved_version)
    fanned = asked(TermsChanged(policy=POLICY, terms=late), "fan-out", rules=2)
    fanned = replace(fanned, policy_version=of_version)
    after, before = _issued(first), _issued(first)
    assert after.take(transferred).granted
    stood = after.license(LICENSE)
    assert after.take(fanned).code == "stale-terms"
    assert after.license(LICENSE).terms == stood.terms == others
    assert after.license(LICENSE).policy_version == moved_version
    assert before.take(fanned).granted
    assert before.take(transferred).granted
    known = before.license(LICENSE)
    assert (known.terms, known.policy, known.policy_version) == (others, ELSEWHERE, moved_version)


@given(later_terms(), st.integers(0, TIME_MS_MAX))
def test_a_next_check_in_can_always_be_written(terms: Terms, last_ms: int) -> None:
    due_ms = next_check_in_ms(License(id=LICENSE, terms=terms, last_check_in_ms=last_ms))
    assert (due_ms is None) == (not terms.require_check_in)
    if due_ms is not None:
        assert last_ms <= due_ms <= TIME_MS_MAX
        assert datetime.fromtimestamp(due_ms // 1000, tz=UTC).year <= 9999
