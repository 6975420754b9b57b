"""What a check answers: license, machines, scope and now in, code out. Pure.

The order of the codes is the contract's ("validate", precedence): the first that applies wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from ledger.domain.license import License, Machine
from ledger.domain.spans import next_check_in_ms
from ledger.domain.terms import OwnTerms, Terms, max_machines, seat_limit

ABSENT: Final = frozenset(
    {
        "NOT_FOUND",
        "NO_MACHINE",
        "NO_MACHINES",
        "FINGERPRINT_SCOPE_MISMATCH",
        "MACHINE_SCOPE_MISMATCH",
        "ENTITLEMENTS_MISSING",
        "OVERDUE",
        "TOO_MANY_MACHINES",
    }
)
"""Denials that rest on something not being there, such as the deactivation that made room: only a
replica that is not behind may say so."""


class Scope(Struct, frozen=True, kw_only=True):
    """What the caller wants the license to be for; UNSET was not asked for.

    `quick`: nothing was, and the policy may not require it either.
    """

    product: str | UnsetType = UNSET
    policy: str | UnsetType = UNSET
    fingerprint: str | UnsetType = UNSET
    fingerprints: list[str] | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    entitlements: list[str] | UnsetType = UNSET
    quick: bool = False

    @property
    def wanted(self) -> list[str] | None:
        """Fingerprints asked for, blank ones left out; None where none was asked for."""
        if self.fingerprint is not UNSET:
            return [self.fingerprint] if self.fingerprint else []
        if self.fingerprints is not UNSET:
            return [fingerprint for fingerprint in self.fingerprints if fingerprint]
        return None


class Answer(Struct, frozen=True, kw_only=True):
    """A check's outcome: `code`, what it means for people, and whether the license may be used."""

    code: str
    detail: str
    valid: bool = False

    @property
    def rests_on_absence(self) -> bool:
        """Whether a replica that is behind could be wrong about it."""
        return not self.valid and self.code in ABSENT


NOT_FOUND: Final = Answer(code="NOT_FOUND", detail="There is no such license.")
VALID: Final = Answer(code="VALID", detail="The license is valid.", valid=True)
_SUSPENDED: Final = Answer(code="SUSPENDED", detail="The license is suspended.")
_EXPIRED: Final = Answer(code="EXPIRED", detail="The license has expired.")
_PRODUCT: Final = Answer(
    code="PRODUCT_SCOPE_MISMATCH", detail="The license is for another product."
)
_POLICY: Final = Answer(code="POLICY_SCOPE_MISMATCH", detail="The license has another policy.")
_EMPTY: Final = Answer(
    code="FINGERPRINT_SCOPE_EMPTY", detail="The scope names no fingerprint: send at least one."
)
_NO_MACHINE: Final = Answer(
    code="NO_MACHINE", detail="The license has no machine yet: activate this one."
)
_NO_MACHINES: Final = Answer(
    code="NO_MACHINES", detail="The license has no machines yet: activate this one."
)
_OTHER_MACHINE: Final = Answer(
    code="FINGERPRINT_SCOPE_MISMATCH", detail="This machine is not activated: activate it."
)
_EXPIRED_BUT_OPEN: Final = Answer(
    code="EXPIRED", detail="The license has expired, and may still be used.", valid=True
)
_OVERDUE: Final = Answer(code="OVERDUE", detail="The license is overdue for a check-in.")
_PRODUCT_REQUIRED: Final = Answer(
    code="PRODUCT_SCOPE_REQUIRED", detail="The scope has to name the product."
)
_POLICY_REQUIRED: Final = Answer(
    code="POLICY_SCOPE_REQUIRED", detail="The scope has to name the policy."
)
_MACHINE_REQUIRED: Final = Answer(
    code="MACHINE_SCOPE_REQUIRED", detail="The scope has to name the machine by its id."
)
_FINGERPRINT_REQUIRED: Final = Answer(
    code="FINGERPRINT_SCOPE_REQUIRED", detail="The scope has to name the machine's fingerprint."
)
_NO_ENTITLEMENTS: Final = Answer(
    code="ENTITLEMENTS_SCOPE_EMPTY", detail="The scope names no entitlement: send at least one."
)
_NOT_ENTITLED: Final = Answer(
    code="ENTITLEMENTS_MISSING", detail="The license lacks an entitlement that the scope names."
)
_NO_SUCH_MACHINE: Final = Answer(
    code="MACHINE_SCOPE_MISMATCH", detail="The license has no such machine: activate it."
)
_TOO_MANY: Final = "TOO_MANY_MACHINES"


def check(
    license_: License | None,
    machines: Sequence[Machine | None],
    scope: Scope,
    now_ms: int,
    named: Machine | None = None,
) -> Answer:
    """Answer a check at `now_ms`.

    `machines`: what is stored for each of the scope's wanted fingerprints, in their order.
    `named`: what is stored for the scope's machine.
    """
    if license_ is None or license_.status != "live":
        return NOT_FOUND
    terms = license_.terms
    assert terms is not None  # noqa: S101 - a live license was issued with terms
    expired = license_.expired(now_ms)
    if license_.suspended:
        return _SUSPENDED
    if expired and terms.expiration_strategy == "REVOKE_ACCESS":
        return _EXPIRED
    if terms.require_check_in and _is_overdue(license_, now_ms):
        return _OVERDUE
    if scope.quick:
        refusal = _too_many(license_, terms) if terms.strict else None
    else:
        refusal = _outside(license_, machines, scope, terms, named)
    if refusal is not None:
        return refusal
    if not expired:
        return VALID
    return _EXPIRED if license_.closed(now_ms) else _EXPIRED_BUT_OPEN


def check_of_what_is_there(license_: License, scope: Scope, now_ms: int) -> Answer:
    """Answer a check as if nothing were missing: what it denies is known, however old the state.

    So neither machines, entitlements, seats nor check-ins are asked for, which a replica that is
    behind may not have heard of (`ABSENT`); all else is.
    """
    terms = license_.terms
    if terms is None:
        return NOT_FOUND
    given = scope.wanted is not None
    what_is_there = replace(
        terms,
        strict=False,
        require_check_in=False,
        require_machine_scope=terms.require_machine_scope and scope.machine is UNSET,
        require_fingerprint_scope=terms.require_fingerprint_scope and not given,
    )
    asked = replace(
        scope,
        machine=UNSET,
        entitlements=UNSET if scope.entitlements else scope.entitlements,
        fingerprint=UNSET if scope.wanted else scope.fingerprint,
        fingerprints=UNSET if scope.wanted else scope.fingerprints,
    )
    return check(replace(license_, terms=what_is_there), (), asked, now_ms)


def _is_overdue(license_: License, now_ms: int) -> bool:
    due_ms = next_check_in_ms(license_)
    return due_ms is not None and now_ms > due_ms


def _outside(
    license_: License,
    machines: Sequence[Machine | None],
    scope: Scope,
    terms: Terms,
    named: Machine | None,
) -> Answer | None:
    """Answer a check that the license as it stands is not for; None where it is."""
    if scope.product is not UNSET and scope.product != license_.product:
        return _PRODUCT
    if scope.product is UNSET and terms.require_product_scope:
        return _PRODUCT_REQUIRED
    if scope.policy is not UNSET and scope.policy != license_.policy:
        return _POLICY
    if scope.policy is UNSET and terms.require_policy_scope:
        return _POLICY_REQUIRED
    refusal = _not_entitled(license_, scope) or _elsewhere(license_, machines, scope, terms, named)
    if refusal is not None:
        return refusal
    return _too_many(license_, terms) if terms.strict else None


def _not_entitled(license_: License, scope: Scope) -> Answer | None:
    if scope.entitlements is UNSET:
        return None
    if not scope.entitlements:
        return _NO_ENTITLEMENTS
    held = license_.all_entitlements.values()
    return None if set(scope.entitlements) <= set(held) else _NOT_ENTITLED


def _elsewhere(
    license_: License,
    machines: Sequence[Machine | None],
    scope: Scope,
    terms: Terms,
    named: Machine | None,
) -> Answer | None:
    """Answer a check for a machine that the license does not hold."""
    if scope.machine is not UNSET:
        if not license_.machines:
            return _none_yet(terms)
        if not holds(license_, named):
            return _NO_SUCH_MACHINE
    elif terms.require_machine_scope:
        return _MACHINE_REQUIRED
    if scope.wanted is not None:
        return _unmatched(license_, machines, scope.wanted, terms)
    return _FINGERPRINT_REQUIRED if terms.require_fingerprint_scope else None


def _unmatched(
    license_: License, machines: Sequence[Machine | None], wanted: list[str], terms: Terms
) -> Answer | None:
    if not wanted:
        return _EMPTY
    if not license_.machines:
        return _none_yet(terms)
    if any(holds(license_, machine) for machine in machines):
        return None
    return _OTHER_MACHINE


def holds(license_: License, machine: Machine | None) -> bool:
    """Whether the machine holds seats of this license in its present incarnation."""
    return (
        machine is not None
        and machine.license == license_.id
        and machine.epoch == license_.epoch
        and license_.status == "live"
    )


def _too_many(license_: License, terms: Terms) -> Answer | None:
    """Judge a strict license by its seats; overage may allow more than it names."""
    if not license_.machines:
        return _none_yet(terms)
    most = max_machines(terms, license_.own)
    if not terms.floating:
        most = most or 1
    if most is None or license_.seats_held <= most:
        return None
    allowed = seat_limit(replace(terms, max_machines=most), OwnTerms())
    return Answer(
        code=_TOO_MANY,
        detail=f"The license holds {license_.seats_held} seats, more than its {most}.",
        valid=allowed is None or license_.seats_held <= allowed,
    )


def _none_yet(terms: Terms) -> Answer:
    return _NO_MACHINES if terms.floating else _NO_MACHINE
