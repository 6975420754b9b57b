"""Verdicts as HTTP: what a refusal of the fold is called in the contract. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from api.problems import Problem, not_found, pointer, unavailable, unprocessable
from api.resources import machine_path
from ledger.domain import verdicts
from ledger.domain.license import License
from ledger.domain.verdicts import Verdict

FROZEN_RETRY_S: Final = 60
_LICENSE: Final = "/data/relationships/license"
_ORDERS: Final = {
    verdicts.ALREADY_SUSPENDED: (
        "ALREADY_SUSPENDED",
        "The license is suspended already: reinstate it to end that.",
        "suspended",
    ),
    verdicts.NOT_SUSPENDED: (
        "NOT_SUSPENDED",
        "The license is not suspended: nothing has to be done.",
        "suspended",
    ),
    verdicts.NO_DURATION: (
        "DURATION_MISSING",
        "The license's policy has no duration that a renewal could add: set an expiry instead.",
        "expiry",
    ),
    verdicts.NO_CHECK_IN: (
        "CHECK_IN_NOT_REQUIRED",
        "The license's policy asks for no check-ins.",
        "requireCheckIn",
    ),
    verdicts.USES_EXCEEDED: (
        "USES_LIMIT_EXCEEDED",
        "The license would have more uses than it may: reset them, or raise maxUses.",
        "uses",
    ),
    verdicts.ENTITLEMENT_TAKEN: (
        "ENTITLEMENT_TAKEN",
        "The license has one of these entitlements itself already: send the others only.",
        "entitlements",
    ),
    verdicts.NO_ENTITLEMENT: (
        "ENTITLEMENT_NOT_ATTACHED",
        "One of these entitlements is not attached to the license itself: send the others only.",
        "entitlements",
    ),
    verdicts.ENTITLEMENTS_EXCEEDED: (
        "ENTITLEMENTS_EXCEEDED",
        "The license would have too many entitlements of its own: send fewer, or detach some.",
        "entitlements",
    ),
    verdicts.USES_NEGATIVE: (
        "USES_INVALID",
        "The license hasn't as many uses as that: send a smaller number.",
        "uses",
    ),
}


def frozen() -> Problem:
    """503: the license stands still until a record that could not be folded is dealt with."""
    return unavailable(
        "The license is frozen: a record of it could not be folded, and a person has been told. "
        "Checks go on from its last good state; nothing was written. Repeat later.",
        code="LICENSE_FROZEN",
        retry_after_s=FROZEN_RETRY_S,
    )


def refuse_frozen(license_: License | None) -> None:
    """Raise for a frozen license, before anything of a request is written."""
    if license_ is not None and license_.frozen_at is not None:
        raise frozen()


def mismatch() -> Problem:
    """422: the Idempotency-Key was used for another request."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "IDEMPOTENCY_MISMATCH",
        "This Idempotency-Key was used for another request on this license. Use a new key for a "
        "new request; to repeat the old one, send it unchanged.",
        source={"header": "Idempotency-Key"},
    )


def issue_refusal(verdict: Verdict) -> Problem:
    """Error of a license that was not issued."""
    if verdict.code == verdicts.KEY_TAKEN:
        return unprocessable(
            "KEY_TAKEN",
            "There is a license with this key already. Choose another one.",
            "/data/attributes/key",
        )
    return _other(verdict)


def activation_refusal(verdict: Verdict, account: str) -> Problem:
    """Error of an activation that was refused."""
    code = verdict.code
    if code == verdicts.ALREADY_HELD:
        return _taken(verdict, account)
    if code == verdicts.SEATS_DIFFER:
        return unprocessable(
            "SEATS_DIFFER",
            "This machine is activated with another number of seats. Deactivate it first.",
            "/data/attributes/seats",
        )
    if code == verdicts.LIMIT_EXCEEDED:
        return unprocessable(
            "MACHINE_LIMIT_EXCEEDED",
            f"The license holds {verdict.seats_held} of {verdict.limit} seats, too many for this "
            "machine. Deactivate another one, or raise the license's limit.",
            "/data",
        )
    if code == verdicts.SUSPENDED:
        return _denied("LICENSE_SUSPENDED", "The license is suspended: reinstate it first.")
    if code == verdicts.EXPIRED:
        return _denied("LICENSE_EXPIRED", "The license has expired: renew it first.")
    return (
        not_found("license", pointer(_LICENSE)) if code == verdicts.NOT_FOUND else _other(verdict)
    )


def order_refusal(verdict: Verdict) -> Problem:
    """Error of an order about a license that was refused."""
    code = verdict.code
    if code == verdicts.NOT_FOUND:
        return not_found("license")
    if code == verdicts.SUSPENDED:
        return _denied("LICENSE_SUSPENDED", "The license is suspended: reinstate it.", "/data")
    if code == verdicts.EXPIRED:
        return _denied("LICENSE_EXPIRED", "The license has expired: renew it.", "/data")
    if code in _ORDERS:
        name, detail, attribute = _ORDERS[code]
        return unprocessable(name, detail, f"/data/attributes/{attribute}")
    return _other(verdict)


def deactivation_refusal(verdict: Verdict) -> Problem:
    """Error of a deactivation that was refused."""
    if verdict.code in {verdicts.NO_MACHINE, verdicts.NOT_FOUND}:
        return not_found("machine")
    return _other(verdict)


def _taken(verdict: Verdict, account: str) -> Problem:
    machine = verdict.machine or ""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "FINGERPRINT_TAKEN",
        f"This fingerprint is activated on the license already, as machine {machine}. "
        "Use that one, or deactivate it first.",
        source=pointer("/data/attributes/fingerprint"),
        links={"related": machine_path(account, machine)},
    )


def _denied(code: str, detail: str, path: str = _LICENSE) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, code, detail, source=pointer(path))


def _other(verdict: Verdict) -> Problem:
    """Error of a refusal that has no name in the contract."""
    code = verdict.code.upper().replace("-", "_")
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code,
        f"The ledger refused this: {code}. Read how the license stands.",
        source=pointer("/data"),
    )
