"""Terms: what a license allows, and what they refuse to say."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.terms import (
    SEATS_MAX,
    TIME_MS_MAX,
    Overage,
    OwnTerms,
    Terms,
    expiry_ms,
    max_machines,
    seat_limit,
)

FACTORS: dict[Overage, Fraction | None] = {
    "NO_OVERAGE": Fraction(1),
    "ALLOW_1_25X_OVERAGE": Fraction(5, 4),
    "ALLOW_1_5X_OVERAGE": Fraction(3, 2),
    "ALLOW_2X_OVERAGE": Fraction(2),
    "ALWAYS_ALLOW_OVERAGE": None,
}


@pytest.mark.parametrize("overage", FACTORS)
@given(seats=st.integers(1, SEATS_MAX))
def test_the_limit_is_the_seats_times_the_overage_rounded_down(
    overage: Overage, seats: int
) -> None:
    factor = FACTORS[overage]
    limit = seat_limit(Terms(max_machines=seats, overage=overage), OwnTerms())
    assert limit == (None if factor is None else floor(seats * factor))


@pytest.mark.parametrize("overage", FACTORS)
def test_no_number_of_seats_is_no_limit(overage: Overage) -> None:
    assert seat_limit(Terms(max_machines=None, overage=overage), OwnTerms()) is None


def test_the_licenses_own_seats_win_over_its_policys() -> None:
    own = OwnTerms(max_machines=10)
    assert max_machines(Terms(max_machines=2), own) == 10
    assert seat_limit(Terms(max_machines=None), own) == 10
    assert seat_limit(Terms(max_machines=100, overage="ALLOW_1_25X_OVERAGE"), own) == 12


def test_expiry_is_the_own_one_else_issue_and_duration_else_never() -> None:
    terms = Terms(max_machines=1, duration_s=60)
    assert expiry_ms(terms, OwnTerms(expiry_ms=7), 1000) == 7
    assert expiry_ms(terms, OwnTerms(), 1000) == 61_000
    assert expiry_ms(Terms(max_machines=1), OwnTerms(), 1000) is None


def test_no_expiry_is_past_the_last_year_that_can_be_written() -> None:
    assert expiry_ms(Terms(max_machines=1, duration_s=60), OwnTerms(), TIME_MS_MAX) == TIME_MS_MAX


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"max_machines": 0},
        {"max_machines": -1},
        {"max_machines": SEATS_MAX + 1},
        {"max_machines": 1.0},
        {"max_machines": True},
        {"max_machines": 1, "overage": "SOME"},
        {"max_machines": 1, "overage": None},
        {"max_machines": 1, "duration_s": 0},
        {"max_machines": 1, "expiration_strategy": "ALLOW"},
        {"max_machines": 1, "strict": 1},
        {"max_machines": 1, "max_uses": -1},
        {"max_machines": 1, "max_cores": 5},
        {"max_machines": 1, "check_in_interval_count": 0},
        {"max_machines": 1, "entitlements": {"no id": "CODE"}},
    ],
)
def test_terms_that_say_what_cannot_be_are_refused(terms: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(terms), type=Terms)
