"""What the laws are tried on: requests of a few machines, in any order and number."""

from __future__ import annotations

from hypothesis import strategies as st

from ledger.domain.events import (
    Changed,
    CheckedIn,
    DenialImported,
    EntitlementsAttached,
    EntitlementsDetached,
    EventData,
    MachineChanged,
    Reinstated,
    Renewed,
    Revoked,
    Suspended,
    TermsChanged,
    Transferred,
    UsageRecorded,
    Validated,
)
from ledger.domain.terms import Overage, OwnTerms, Terms
from tests.ledger.domain.given import (
    LICENSE,
    NOW_MS,
    POLICY,
    PRODUCT,
    activation,
    deactivation,
    issued,
    machine_of,
)

OVERAGES: list[Overage] = [
    "NO_OVERAGE",
    "ALLOW_1_25X_OVERAGE",
    "ALLOW_1_5X_OVERAGE",
    "ALLOW_2X_OVERAGE",
    "ALWAYS_ALLOW_OVERAGE",
]
HOSTS = [f"host-{number}" for number in range(6)]
TIMES = st.integers(NOW_MS, NOW_MS + 120_000)


POLICIES = [POLICY, "00000000-0000-4000-8000-0000000000ff"]
ENTITLEMENTS = [f"00000000-0000-4000-8000-00000000000{digit}" for digit in "abc"]
COUNTS = st.integers(1, 4)


def early_terms() -> st.SearchStrategy[Terms]:
    """Terms that rules version 1 had."""
    return st.builds(
        Terms,
        max_machines=st.none() | st.integers(1, 9),
        overage=st.sampled_from(OVERAGES),
        duration_s=st.none() | st.just(60),
        expiration_strategy=st.sampled_from(["RESTRICT_ACCESS", "REVOKE_ACCESS"]),
    )


def later_terms() -> st.SearchStrategy[Terms]:
    """Terms with what rules version 2 added, as far as the fold looks at it."""
    strategies = ["RESTRICT_ACCESS", "REVOKE_ACCESS", "MAINTAIN_ACCESS", "ALLOW_ACCESS"]
    bases = ["FROM_CREATION", "FROM_FIRST_VALIDATION", "FROM_FIRST_ACTIVATION", "FROM_FIRST_USE"]
    return st.builds(
        Terms,
        max_machines=st.none() | st.integers(1, 9),
        overage=st.sampled_from(OVERAGES),
        duration_s=st.none() | st.just(60),
        expiration_strategy=st.sampled_from(strategies),
        max_uses=st.none() | st.integers(0, 6),
        require_check_in=st.booleans(),
        check_in_interval=st.sampled_from(["day", "week", "month", "year"]),
        check_in_interval_count=st.integers(1, 365),
        expiration_basis=st.sampled_from(bases),
        protected=st.booleans(),
        entitlements=st.dictionaries(st.sampled_from(ENTITLEMENTS), st.just("CODE")),
    )


def terms() -> st.SearchStrategy[Terms]:
    return early_terms() | later_terms()


def own_terms() -> st.SearchStrategy[OwnTerms]:
    return st.builds(
        OwnTerms,
        max_machines=st.none() | st.integers(1, 9),
        expiry_ms=st.none() | TIMES,
        max_uses=st.none() | st.none() | st.integers(0, 6),
        protected=st.sampled_from([None, None, True, False]),
    )


def seat_requests(license_: str = LICENSE) -> st.SearchStrategy[EventData]:
    hosts = st.sampled_from(HOSTS)
    return st.one_of(
        st.builds(activation, hosts, st.integers(1, 4), license_=st.just(license_)),
        st.builds(activation, hosts, st.integers(1, 4), license_=st.just(license_)),
        st.builds(deactivation, hosts, license_=st.just(license_)),
    )


def later_requests(license_: str = LICENSE) -> st.SearchStrategy[EventData]:
    """Any request of a type that came with rules version 2."""
    machines = st.sampled_from(HOSTS).map(lambda host: machine_of(host, license_))
    ids = st.sampled_from(ENTITLEMENTS)
    return st.one_of(
        st.builds(Validated, valid=st.booleans(), code=st.just("VALID"), machine=machines),
        st.just(CheckedIn()),
        st.builds(UsageRecorded, action=st.just("increment"), by=COUNTS),
        st.builds(UsageRecorded, action=st.just("decrement"), by=COUNTS),
        st.just(UsageRecorded(action="reset")),
        st.builds(
            Renewed, basis=st.sampled_from(["FROM_EXPIRY", "FROM_NOW", "FROM_NOW_IF_EXPIRED"])
        ),
        st.builds(
            Transferred,
            policy=st.sampled_from(POLICIES),
            product=st.just(PRODUCT),
            terms=terms(),
            expiry=st.sampled_from(["KEEP_EXPIRY", "RESET_EXPIRY"]),
        ),
        st.builds(Changed, name=st.none(), max_machines=st.none() | st.integers(1, 9)),
        st.builds(Changed, max_uses=st.none() | st.integers(0, 6), protected=st.booleans()),
        st.builds(Changed, expiry_ms=st.none() | TIMES),
        st.builds(MachineChanged, machine=machines, cores=st.none() | st.integers(1, 64)),
        st.builds(
            EntitlementsAttached,
            entitlements=st.dictionaries(ids, st.just("CODE"), min_size=1, max_size=2),
        ),
        st.builds(
            EntitlementsDetached,
            entitlements=st.lists(ids, min_size=1, max_size=2, unique=True),
        ),
    )


def requests(license_: str = LICENSE) -> st.SearchStrategy[EventData]:
    """Any request; those for seats come most often."""
    changed = st.builds(TermsChanged, terms=terms()) | st.builds(TermsChanged, own=own_terms())
    later = later_requests(license_)
    issue = st.builds(issued, license_=st.just(license_), terms=terms(), own=own_terms())
    denial = st.builds(DenialImported, kind=st.sampled_from(["denied", "unsupported"]))
    orders = st.sampled_from([Suspended(), Reinstated(), Reinstated(), Revoked()])
    seats = seat_requests(license_)
    return st.one_of(seats, seats, seats, seats, issue, changed, denial, orders, later, later)
