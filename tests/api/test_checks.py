"""The answer of a check, case by case, in the contract's order."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from api.checks import Answer, Scope, check
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
