"""What an event comes to: a grant or a refusal, its verdict, and the license after it."""

from __future__ import annotations

from msgspec.structs import replace

from ledger.domain import verdicts
from ledger.domain.events import Event
from ledger.domain.state import Folded, License, Machine
from ledger.domain.verdicts import Verdict


def granted(
    event: Event,
    offset: int,
    license_: License,
    machine_id: str | None = None,
    machine: Machine | None = None,
) -> Folded:
    """Grant: `license_` as it is now, and `machine` where it is to be written."""
    changed = replace(license_, changed_ms=event.time_ms)
    return Folded(
        verdict=verdict(verdicts.GRANTED, event, offset, changed, machine_id),
        license=changed,
        machine=machine,
        machine_changed=machine is not None,
    )


def refused(
    code: str, event: Event, offset: int, license_: License, machine: str | None = None
) -> Folded:
    """Refuse: `license_` as it was, but for its count of refusals."""
    return Folded(
        verdict=verdict(code, event, offset, license_, machine), license=counted(license_, code)
    )


def counted(license_: License, code: str) -> License:
    """Count one more refusal of `code`."""
    return replace(
        license_, refusals={**license_.refusals, code: license_.refusals.get(code, 0) + 1}
    )


def verdict(
    code: str, event: Event, offset: int, license_: License, machine: str | None = None
) -> Verdict:
    """Make the verdict: `license_` as it is right after."""
    return Verdict(
        code=code,
        offset=offset,
        time_ms=event.time_ms,
        content_digest=event.content_digest,
        seats_held=license_.seats_held,
        limit=license_.limit,
        epoch=license_.epoch,
        machine=machine,
    )
