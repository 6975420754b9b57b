"""The answer of a check, case by case, in the contract's order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from api.checks import ABSENT, Answer, Scope, check, check_of_what_is_there
from ledger.domain.license import License, Machine
from ledger.domain.terms import Overage, OwnTerms, Terms, seat_limit

NOW = 1_700_000_000_000
TERMS = Terms(max_machines=2)
REVOKING = Terms(max_machines=2, expiration_strategy="REVOKE_ACCESS")
STRICT = Terms(max_machines=2, strict=True)
LOCKED = Terms(max_machines=None, strict=True, floating=False)


def a_license(terms: Terms = TERMS, **changes: object) -> License:
    license_ = License(
        id="license",
        status="live",
        epoch=3,
        product="product",
        policy="policy",
        terms=terms,
        limit=seat_limit(terms, OwnTerms()),
        seats_held=1,
        machines=1,
    )
    return replace(license_, **changes)


MACHINE = Machine(
    id="machine",
    license="license",
    epoch=3,
    seats=1,
    fingerprint="sealed",
    fingerprint_digest="digest",
    activated_ms=0,
    activated_offset=1,
)
THIS = Scope(fingerprint="this")
EXPIRED: dict[str, Any] = {"expiry_ms": NOW}
NONE_HELD: dict[str, Any] = {"seats_held": 0, "machines": 0}
OTHER_PRODUCT = Scope(product="other", policy="other", fingerprint="")


@pytest.mark.parametrize(
    ("license_", "machines", "scope", "code", "valid"),
    [
        (None, [], Scope(), "NOT_FOUND", False),
        (a_license(status="revoked"), [], Scope(), "NOT_FOUND", False),
        (a_license(status="none"), [], Scope(), "NOT_FOUND", False),
        (a_license(), [], Scope(), "VALID", True),
        (a_license(suspended=True), [], Scope(), "SUSPENDED", False),
        (a_license(REVOKING, suspended=True, **EXPIRED), [], Scope(), "SUSPENDED", False),
        (a_license(REVOKING, **EXPIRED), [], OTHER_PRODUCT, "EXPIRED", False),
        (a_license(**EXPIRED), [], OTHER_PRODUCT, "PRODUCT_SCOPE_MISMATCH", False),
        (a_license(**EXPIRED), [], Scope(), "EXPIRED", False),
        (a_license(expiry_ms=NOW + 1), [], Scope(), "VALID", True),
        (a_license(), [], Scope(product="product", policy="policy"), "VALID", True),
        (a_license(), [], Scope(product=""), "PRODUCT_SCOPE_MISMATCH", False),
        (a_license(), [], Scope(policy="other", fingerprint=""), "POLICY_SCOPE_MISMATCH", False),
        (a_license(), [], Scope(policy=""), "POLICY_SCOPE_MISMATCH", False),
        (a_license(), [], Scope(fingerprint=""), "FINGERPRINT_SCOPE_EMPTY", False),
        (a_license(), [], Scope(fingerprints=[]), "FINGERPRINT_SCOPE_EMPTY", False),
        (a_license(), [], Scope(fingerprints=["", ""]), "FINGERPRINT_SCOPE_EMPTY", False),
        (a_license(**NONE_HELD), [None], THIS, "NO_MACHINES", False),
        (a_license(LOCKED, **NONE_HELD), [None], THIS, "NO_MACHINE", False),
        (a_license(), [None], THIS, "FINGERPRINT_SCOPE_MISMATCH", False),
        (a_license(), [MACHINE], THIS, "VALID", True),
        (a_license(), [None, MACHINE], Scope(fingerprints=["a", "b"]), "VALID", True),
        (
            a_license(),
            [None, None],
            Scope(fingerprints=["a", "b"]),
            "FINGERPRINT_SCOPE_MISMATCH",
            False,
        ),
        (a_license(epoch=4), [MACHINE], THIS, "FINGERPRINT_SCOPE_MISMATCH", False),
        (a_license(id="another"), [MACHINE], THIS, "FINGERPRINT_SCOPE_MISMATCH", False),
        (a_license(**EXPIRED), [None], THIS, "FINGERPRINT_SCOPE_MISMATCH", False),
        (a_license(**EXPIRED), [MACHINE], THIS, "EXPIRED", False),
        (a_license(**NONE_HELD), [], Scope(), "VALID", True),
        (a_license(STRICT, **NONE_HELD), [], Scope(), "NO_MACHINES", False),
        (a_license(LOCKED, **NONE_HELD), [], Scope(), "NO_MACHINE", False),
        (a_license(STRICT, seats_held=2), [], Scope(), "VALID", True),
        (a_license(STRICT, seats_held=3), [], Scope(), "TOO_MANY_MACHINES", False),
        (a_license(TERMS, seats_held=3), [], Scope(), "VALID", True),
        (
            a_license(
                Terms(max_machines=2, strict=True, overage="ALLOW_1_5X_OVERAGE"), seats_held=3
            ),
            [],
            Scope(),
            "TOO_MANY_MACHINES",
            True,
        ),
        (
            a_license(
                Terms(max_machines=2, strict=True, overage="ALLOW_1_5X_OVERAGE"), seats_held=4
            ),
            [],
            Scope(),
            "TOO_MANY_MACHINES",
            False,
        ),
        (
            a_license(
                Terms(max_machines=1, strict=True, overage="ALWAYS_ALLOW_OVERAGE"), seats_held=9
            ),
            [],
            Scope(),
            "TOO_MANY_MACHINES",
            True,
        ),
        (
            a_license(STRICT, own=OwnTerms(max_machines=5), seats_held=5),
            [],
            Scope(),
            "VALID",
            True,
        ),
        (a_license(LOCKED, seats_held=2), [], Scope(), "TOO_MANY_MACHINES", False),
        (a_license(STRICT, seats_held=3, **EXPIRED), [], Scope(), "TOO_MANY_MACHINES", False),
        (a_license(STRICT, **EXPIRED), [], Scope(), "EXPIRED", False),
        (
            a_license(Terms(max_machines=None, strict=True), seats_held=900),
            [],
            Scope(),
            "VALID",
            True,
        ),
    ],
)
def test_the_first_code_that_applies_wins(
    license_: License | None,
    machines: list[Machine | None],
    scope: Scope,
    code: str,
    valid: bool,  # noqa: FBT001 - a column of the table
) -> None:
    answer = check(license_, machines, scope, NOW)
    assert (answer.code, answer.valid) == (code, valid)
    assert answer.detail.endswith(".")


@pytest.mark.parametrize(
    ("overage", "most"),
    [
        ("NO_OVERAGE", 6),
        ("ALLOW_1_25X_OVERAGE", 7),
        ("ALLOW_1_5X_OVERAGE", 9),
        ("ALLOW_2X_OVERAGE", 12),
        ("ALWAYS_ALLOW_OVERAGE", 10**6),
    ],
)
@pytest.mark.parametrize("floating", [True, False])
def test_more_seats_than_the_license_names_are_valid_within_the_overage(
    overage: Overage,
    most: int,
    floating: bool,  # noqa: FBT001 - a parameter
) -> None:
    terms = Terms(max_machines=6, strict=True, overage=overage, floating=floating)

    def said(seats: int) -> tuple[str, bool]:
        answer = check(a_license(terms, seats_held=seats), [], Scope(), NOW)
        return answer.code, answer.valid

    assert said(6) == ("VALID", True)
    for seats in range(7, 14):
        assert said(seats) == ("TOO_MANY_MACHINES", seats <= most)


def test_the_singular_fingerprint_wins_over_the_plural() -> None:
    assert Scope(fingerprint="a", fingerprints=["b"]).wanted == ["a"]
    assert Scope(fingerprints=["b", "", "c"]).wanted == ["b", "c"]
    assert Scope().wanted is None


@pytest.mark.parametrize(
    ("code", "valid", "rests"),
    [
        ("NOT_FOUND", False, True),
        ("NO_MACHINE", False, True),
        ("NO_MACHINES", False, True),
        ("MACHINE_SCOPE_MISMATCH", False, True),
        ("FINGERPRINT_SCOPE_MISMATCH", False, True),
        ("ENTITLEMENTS_MISSING", False, True),
        ("OVERDUE", False, True),
        ("TOO_MANY_MACHINES", False, True),
        ("TOO_MANY_MACHINES", True, False),
        ("MACHINE_SCOPE_REQUIRED", False, False),
        ("SUSPENDED", False, False),
        ("VALID", True, False),
    ],
)
def test_a_denial_that_rests_on_absence_is_known_as_one(
    code: str, *, valid: bool, rests: bool
) -> None:
    assert Answer(code=code, detail="", valid=valid).rests_on_absence is rests


_SCOPES = st.builds(
    Scope,
    product=st.sampled_from([UNSET, "product", "other"]),
    policy=st.sampled_from([UNSET, "policy", "other"]),
    fingerprint=st.sampled_from([UNSET, "", "this"]),
    fingerprints=st.sampled_from([UNSET, [], [""], ["this", "that"]]),
    machine=st.sampled_from([UNSET, "machine"]),
    entitlements=st.sampled_from([UNSET, [], ["E"]]),
)
_TERMS = st.builds(
    Terms,
    max_machines=st.sampled_from([None, 1, 2]),
    strict=st.booleans(),
    floating=st.booleans(),
    expiration_strategy=st.sampled_from(
        ["REVOKE_ACCESS", "RESTRICT_ACCESS", "MAINTAIN_ACCESS", "ALLOW_ACCESS"]
    ),
    require_product_scope=st.booleans(),
    require_policy_scope=st.booleans(),
    require_machine_scope=st.booleans(),
    require_fingerprint_scope=st.booleans(),
    require_check_in=st.booleans(),
    check_in_interval=st.just("day"),
)
_LICENSES = st.builds(
    a_license,
    _TERMS,
    suspended=st.booleans(),
    expiry_ms=st.sampled_from([None, NOW, NOW + 1]),
    last_check_in_ms=st.sampled_from([0, NOW]),
    seats_held=st.integers(0, 3),
    machines=st.integers(0, 1),
    status=st.sampled_from(["live", "live", "revoked", "none"]),
)


@given(license_=_LICENSES, scope=_SCOPES, held=st.booleans(), named=st.booleans())
@settings(max_examples=400, deadline=None)
def test_what_is_known_denies_and_only_that(
    license_: License, scope: Scope, *, held: bool, named: bool
) -> None:
    """Of a state that may lack something: every denial that it is sure of, and no other one."""
    machines = [MACHINE if held else None for _ in scope.wanted or ()]
    said = check(license_, machines, scope, NOW, MACHINE if named else None)
    sure = check_of_what_is_there(license_, scope, NOW)
    assert sure.code not in ABSENT - {"NOT_FOUND"}
    if said.valid or said.code not in ABSENT:
        assert sure.valid == said.valid
    if said.valid:
        assert sure == said
    if sure.valid:
        assert not license_.suspended
        assert not license_.closed(NOW)
        assert license_.status == "live"
        assert scope.product in {UNSET, license_.product}
        assert scope.policy in {UNSET, license_.policy}


def test_a_denial_that_is_sure_is_found_behind_one_that_is_not() -> None:
    """An overdue check-in is answered first; a replica that is behind may lack it."""
    terms = Terms(max_machines=2, require_check_in=True, check_in_interval="day")
    for changes, scope, code in (
        (EXPIRED, Scope(), "EXPIRED"),
        ({}, Scope(product="other"), "PRODUCT_SCOPE_MISMATCH"),
        ({}, Scope(fingerprint=""), "FINGERPRINT_SCOPE_EMPTY"),
    ):
        license_ = a_license(terms, last_check_in_ms=0, **changes)
        assert check(license_, [], scope, NOW).code == "OVERDUE"
        assert check_of_what_is_there(license_, scope, NOW).code == code
    overdue = a_license(terms, last_check_in_ms=0)
    assert check_of_what_is_there(overdue, Scope(), NOW).valid
