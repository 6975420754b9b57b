"""The fold of a license: state and event in, state and verdict out. Rules versions 1 and 2.

`docs/format.md` ("Laws of the fold", "States by requests") is the written form. Who gets the
last seat is decided here and nowhere else, in log order, the same in every replica, in a
rebuild and in a test.

Rules 2 have more types and more terms; what both have they decide alike, so that nothing here asks
for an event's version: what rules 1 read (`rules1`) has later terms at their defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from ledger.domain import verdicts
from ledger.domain.events import (
    ActivationRequested,
    DeactivationRequested,
    Event,
    Issued,
    MachineChanged,
)
from ledger.domain.memory import FORGOTTEN_MAX, MEMORY_COMMANDS, MEMORY_MS, forgettable
from ledger.domain.orders import ORDERS
from ledger.domain.outcomes import granted, refused, verdict
from ledger.domain.spans import begun, checking_in
from ledger.domain.state import Folded, Heard, License, Loaded, Machine
from ledger.domain.terms import expiry_ms, seat_limit
from ledger.domain.usage import USAGE
from ledger.domain.verdicts import Remembered, Verdict

__all__ = [
    "FORGOTTEN_MAX",
    "MEMORY_COMMANDS",
    "MEMORY_MS",
    "SOURCES_MAX",
    "Folded",
    "Heard",
    "License",
    "Loaded",
    "Machine",
    "fold",
]

SOURCES_MAX: Final = 64
_KNOWN: Final = ("name", "hostname", "ip", "platform", "cores", "metadata")
_ADMINISTERED: Final = ORDERS | USAGE


def fold(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
    """Decide `event` on what is stored. Pure; raises nothing for any decoded event.

    `offset`: where the event stands; `elapsed_ms`: its partition's elapsed clock there.
    """
    license_ = loaded.license or License(id=event.license)
    if event.sequence is not None or loaded.remembered is not None:
        repeated = _repeated(event, offset, license_, loaded)
        if repeated is not None:
            return Folded(verdict=repeated, license=license_, changed=False)
    machine = loaded.machine
    if machine is not None:
        machine = _current(license_, machine)
    folded = _decide(event, offset, license_, machine)
    return _entered(event, elapsed_ms, folded, loaded.oldest)


def _repeated(event: Event, offset: int, license_: License, loaded: Loaded) -> Verdict | None:
    """Verdict of an event that changes nothing, as what was applied before; None of a new one.

    A source that could not be entered is not applied either: without a memory of it, a second
    run of the same import would change something.
    """
    if event.sequence is not None:
        heard = license_.sources.get(event.source)
        if heard is not None and event.sequence <= heard.sequence:
            return verdict(verdicts.ALREADY_APPLIED, event, offset, license_)
        if heard is None and len(license_.sources) >= SOURCES_MAX:
            return verdict(verdicts.SOURCES_EXCEEDED, event, offset, license_)
        return None
    first = loaded.remembered
    if first is None or first.content_digest == event.content_digest:
        return first
    return verdict(verdicts.IDEMPOTENCY_MISMATCH, event, offset, license_)


def _current(license_: License, machine: Machine) -> Machine | None:
    """Keep the machine if it holds seats of this license in this incarnation."""
    if machine.license != license_.id:
        return None
    return machine if license_.status == "live" and machine.epoch == license_.epoch else None


def _decide(event: Event, offset: int, license_: License, machine: Machine | None) -> Folded:
    data = event.data
    if isinstance(data, ActivationRequested):
        return _activate(data, event, offset, license_, machine)
    if isinstance(data, DeactivationRequested):
        return _deactivate(data, event, offset, license_, machine)
    if isinstance(data, Issued):
        return _issue(data, event, offset, license_)
    if isinstance(data, MachineChanged):
        return _change_machine(data, event, offset, license_, machine)
    return _administer(event, offset, license_)


def _issue(data: Issued, event: Event, offset: int, license_: License) -> Folded:
    if license_.status == "live":
        return refused(verdicts.KEY_TAKEN, event, offset, license_)
    issued = License(
        id=license_.id,
        status="live",
        epoch=license_.epoch + 1,
        account=data.account,
        product=data.product,
        policy=data.policy,
        policy_version=event.policy_version or 0,
        key=data.key,
        name=data.name,
        metadata=data.metadata,
        terms=data.terms,
        own=data.own,
        issued_ms=event.time_ms,
        issued_offset=offset,
        expiry_ms=expiry_ms(data.terms, data.own, event.time_ms),
        limit=seat_limit(data.terms, data.own),
        refusals=license_.refusals,
        commands=license_.commands,
        sources=license_.sources,
    )
    return granted(event, offset, checking_in(None, issued, event.time_ms))


def _activate(
    data: ActivationRequested, event: Event, offset: int, license_: License, held: Machine | None
) -> Folded:
    refusal = _activation_refusal(data, event, license_, held)
    if refusal is not None:
        return refused(refusal, event, offset, license_, data.machine)
    seats = license_.seats_held + data.seats
    peak = seats > license_.seats_peak
    grown = replace(
        license_,
        seats_held=seats,
        machines=license_.machines + 1,
        seats_peak=seats if peak else license_.seats_peak,
        seats_peak_offset=offset if peak else license_.seats_peak_offset,
    )
    begun_or_not = begun(grown, "FROM_FIRST_ACTIVATION", event.time_ms)
    machine = _activated(data, event, offset, license_)
    return granted(event, offset, begun_or_not, data.machine, machine)


def _activation_refusal(
    data: ActivationRequested, event: Event, license_: License, held: Machine | None
) -> str | None:
    if license_.status != "live":
        return verdicts.NOT_FOUND
    if license_.suspended:
        return verdicts.SUSPENDED
    if license_.closed(event.time_ms):
        return verdicts.EXPIRED
    if held is not None:
        return verdicts.ALREADY_HELD if held.seats == data.seats else verdicts.SEATS_DIFFER
    if license_.limit is not None and license_.seats_held + data.seats > license_.limit:
        return verdicts.LIMIT_EXCEEDED
    return None


def _activated(data: ActivationRequested, event: Event, offset: int, license_: License) -> Machine:
    return Machine(
        id=data.machine,
        license=license_.id,
        epoch=license_.epoch,
        seats=data.seats,
        fingerprint=data.fingerprint,
        fingerprint_digest=data.fingerprint_digest,
        activated_ms=event.time_ms,
        activated_offset=offset,
        name=data.name,
        hostname=data.hostname,
        ip=data.ip,
        platform=data.platform,
        cores=data.cores,
        metadata=data.metadata,
    )


def _deactivate(
    data: DeactivationRequested, event: Event, offset: int, license_: License, held: Machine | None
) -> Folded:
    if license_.status != "live":
        return refused(verdicts.NOT_FOUND, event, offset, license_, data.machine)
    if held is None:
        return refused(verdicts.NO_MACHINE, event, offset, license_, data.machine)
    shrunk = replace(
        license_,
        seats_held=license_.seats_held - held.seats,
        machines=license_.machines - 1,
    )
    folded = granted(event, offset, shrunk, data.machine)
    return replace(folded, machine_changed=True)


def _change_machine(
    data: MachineChanged, event: Event, offset: int, license_: License, held: Machine | None
) -> Folded:
    """Note what is known of a machine that holds seats; it holds as many after it."""
    if license_.status != "live":
        return refused(verdicts.NOT_FOUND, event, offset, license_, data.machine)
    if held is None:
        return refused(verdicts.NO_MACHINE, event, offset, license_, data.machine)
    named = {name: value for name in _KNOWN if (value := getattr(data, name)) is not UNSET}
    changed = replace(held, changed_ms=event.time_ms, **named)
    return granted(event, offset, license_, data.machine, changed)


def _administer(event: Event, offset: int, license_: License) -> Folded:
    data = event.data
    if license_.status != "live":
        machine: str | None = getattr(data, "machine", None)
        return refused(verdicts.NOT_FOUND, event, offset, license_, machine)
    return _ADMINISTERED[type(data)](data, event, offset, license_)


def _entered(event: Event, elapsed_ms: int, folded: Folded, oldest: Sequence[Remembered]) -> Folded:
    """Enter the event in the one memory that will know it again: its source's, or the commands'."""
    license_ = folded.license
    if event.sequence is not None:
        heard = Heard(sequence=event.sequence, digest=event.source_digest)
        known = replace(license_, sources={**license_.sources, event.source: heard})
        return replace(folded, license=known)
    forget = forgettable(license_.commands + 1, elapsed_ms, oldest) if oldest else ()
    counted = replace(license_, commands=license_.commands + 1 - len(forget))
    return Folded(
        verdict=folded.verdict,
        license=counted,
        machine=folded.machine,
        machine_changed=folded.machine_changed,
        remember=True,
        forget=forget,
    )
