"""What is told of a live license's use: that it was checked, checked in, used."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ledger.domain import verdicts
from ledger.domain.events import CheckedIn, Event, UsageRecorded, Validated
from ledger.domain.orders import Order
from ledger.domain.outcomes import granted, refused
from ledger.domain.spans import begun, in_force
from ledger.domain.state import Folded, License
from ledger.domain.terms import SEATS_MAX, max_uses


def _validate(data: Validated, event: Event, offset: int, license_: License) -> Folded:
    """Take note of a check; the first valid one may begin the duration."""
    noted = replace(license_, last_validated_ms=event.time_ms)
    if data.valid:
        noted = begun(noted, "FROM_FIRST_VALIDATION", event.time_ms)
    return granted(event, offset, noted, data.machine)


def _check_in(_: CheckedIn, event: Event, offset: int, license_: License) -> Folded:
    if not in_force(license_).require_check_in:
        return refused(verdicts.NO_CHECK_IN, event, offset, license_)
    return granted(event, offset, replace(license_, last_check_in_ms=event.time_ms))


def _record(data: UsageRecorded, event: Event, offset: int, license_: License) -> Folded:
    """Count uses. Only a new use asks whether the license may still be used."""
    uses = 0
    if data.action == "decrement":
        uses = license_.uses - data.by
    elif data.action == "increment":
        uses = license_.uses + data.by
    refusal = _refusal(data, uses, event, license_)
    if refusal is not None:
        return refused(refusal, event, offset, license_)
    used = replace(license_, uses=uses)
    if data.action == "increment":
        used = begun(used, "FROM_FIRST_USE", event.time_ms)
    return granted(event, offset, used)


def _refusal(data: UsageRecorded, uses: int, event: Event, license_: License) -> str | None:
    if uses < 0:
        return verdicts.USES_NEGATIVE
    if data.action != "increment":
        return None
    if license_.suspended:
        return verdicts.SUSPENDED
    if license_.closed(event.time_ms):
        return verdicts.EXPIRED
    most = max_uses(in_force(license_), license_.own)
    return verdicts.USES_EXCEEDED if uses > (SEATS_MAX if most is None else most) else None


USAGE: Final[dict[type, Order]] = {
    Validated: _validate,
    CheckedIn: _check_in,
    UsageRecorded: _record,
}
