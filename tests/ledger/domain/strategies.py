"""What the laws are tried on: requests of a few machines, in any order and number."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.domain.events import (
    DenialImported,
    EventData,
    Reinstated,
    Revoked,
    Suspended,
    TermsChanged,
)
from ledger.domain.terms import Overage, OwnTerms, Terms
from tests.ledger.domain.given import LICENSE, NOW_MS, activation, deactivation, issued

OVERAGES: list[Overage] = [
    "NO_OVERAGE",
    "ALLOW_1_25X_OVERAGE",
    "ALLOW_1_5X_OVERAGE",
    "ALLOW_2X_OVERAGE",
    "ALWAYS_ALLOW_OVERAGE",
]
HOSTS = [f"host-{number}" for number in range(6)]
TIMES = st.integers(NOW_MS, NOW_MS + 120_000)


def terms() -> st.SearchStrategy[Terms]:
    return st.builds(
        Terms,
        max_machines=st.none() | st.integers(1, 9),
        overage=st.sampled_from(OVERAGES),
        duration_s=st.none() | st.just(60),
        expiration_strategy=st.sampled_from(["RESTRICT_ACCESS", "REVOKE_ACCESS"]),
    )


def own_terms() -> st.SearchStrategy[OwnTerms]:
    return st.builds(
        OwnTerms, max_machines=st.none() | st.integers(1, 9), expiry_ms=st.none() | TIMES
    )


def seat_requests(license_: str = LICENSE) -> st.SearchStrategy[EventData]:
    hosts = st.sampled_from(HOSTS)
    return st.one_of(
        st.builds(activation, hosts, st.integers(1, 4), license_=st.just(license_)),
        st.builds(activation, hosts, st.integers(1, 4), license_=st.just(license_)),
        st.builds(deactivation, hosts, license_=st.just(license_)),
    )


def requests(license_: str = LICENSE) -> st.SearchStrategy[EventData]:
    """Any request; those for seats come most often."""
    changed = st.builds(TermsChanged, terms=terms()) | st.builds(TermsChanged, own=own_terms())
    issue = st.builds(issued, license_=st.just(license_), terms=terms(), own=own_terms())
    denial = st.builds(DenialImported, kind=st.sampled_from(["denied", "unsupported"]))
    orders = st.sampled_from([Suspended(), Reinstated(), Reinstated(), Revoked()])
    seats = seat_requests(license_)
    return st.one_of(seats, seats, seats, seats, issue, changed, denial, orders)
