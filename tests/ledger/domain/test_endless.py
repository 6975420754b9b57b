"""A license without an end that was transferred: until when it stays so; what begins a time."""

from __future__ import annotations

import pytest

from ledger.domain.events import (
    Changed,
    EventData,
    Renewed,
    TermsChanged,
    Transferred,
    UsageRecorded,
)
from ledger.domain.terms import OwnTerms, Terms
from tests.ledger.domain.given import LICENSE, NOW_MS, PRODUCT, asked, issued
from tests.ledger.domain.replica import Replica

ELSEWHERE = "00000000-0000-4000-8000-0000000000ee"
LASTS = Terms(max_machines=1, duration_s=60)
KEEPING = Transferred(policy=ELSEWHERE, product=PRODUCT, terms=LASTS)
BY_DURATION_MS = NOW_MS + 60_000


@pytest.fixture
def endless() -> Replica:
    replica = Replica()
    replica.take(asked(issued(terms=Terms(max_machines=1)), "issue"))
    assert replica.take(asked(KEEPING, "move")).granted
    assert replica.license(LICENSE).expiry_ms is None
    return replica


@pytest.mark.parametrize(
    "data",
    [
        Changed(name="Another"),
        TermsChanged(policy=ELSEWHERE, terms=LASTS),
        KEEPING,
    ],
    ids=lambda data: type(data).__name__,
)
def test_it_stays_without_an_end_through(endless: Replica, data: EventData) -> None:
    assert endless.take(asked(data, "request")).granted
    assert endless.license(LICENSE).expiry_ms is None


@pytest.mark.parametrize(
    "data",
    [
        Changed(expiry_ms=None),
        TermsChanged(own=OwnTerms()),
        Renewed(basis="FROM_NOW"),
        Transferred(policy=ELSEWHERE, product=PRODUCT, terms=LASTS, expiry="RESET_EXPIRY"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_it_has_an_end_again_after(endless: Replica, data: EventData) -> None:
    assert endless.take(asked(data, "request")).granted
    assert endless.license(LICENSE).expiry_ms == BY_DURATION_MS
    assert not endless.license(LICENSE).endless


def test_only_a_new_use_begins_the_time() -> None:
    """Uses may be there before the basis names them: taking them back begins nothing."""
    replica = Replica()
    replica.take(asked(issued(terms=Terms(max_machines=1)), "issue"))
    replica.take(asked(UsageRecorded(action="increment", by=5), "use"))
    basis = Terms(max_machines=1, duration_s=60, expiration_basis="FROM_FIRST_USE")
    replica.take(asked(TermsChanged(terms=basis), "terms"))
    for number, data in enumerate(
        (UsageRecorded(action="decrement"), UsageRecorded(action="reset"))
    ):
        assert replica.take(asked(data, f"back {number}")).granted
        assert replica.license(LICENSE).started_ms is None
    assert replica.take(asked(UsageRecorded(action="increment"), "again")).granted
    assert replica.license(LICENSE).expiry_ms == BY_DURATION_MS
