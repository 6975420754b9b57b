"""What is ordered about a live license: to stop, end, move, last longer, have other terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import UnsetType
from msgspec.structs import replace

from ledger.domain import verdicts
from ledger.domain.events import (
    Changed,
    DenialImported,
    EntitlementsAttached,
    EntitlementsDetached,
    Event,
    Reinstated,
    Renewed,
    Revoked,
    Suspended,
    TermsChanged,
    Transferred,
)
from ledger.domain.outcomes import counted, granted, refused
from ledger.domain.spans import checking_in, in_force, settled
from ledger.domain.state import Folded, License
from ledger.domain.terms import ENTITLEMENTS_MAX, TIME_MS_MAX, OwnTerms

T = TypeVar("T")
Order = Callable[[Any, Event, int, License], Folded]
"""Decides what an event of one type orders about a live license; the first is its data."""


def _suspend(_: Suspended, event: Event, offset: int, license_: License) -> Folded:
    if license_.suspended:
        return refused(verdicts.ALREADY_SUSPENDED, event, offset, license_)
    return granted(event, offset, replace(license_, suspended=True))


def _reinstate(_: Reinstated, event: Event, offset: int, license_: License) -> Folded:
    if not license_.suspended:
        return refused(verdicts.NOT_SUSPENDED, event, offset, license_)
    return granted(event, offset, replace(license_, suspended=False))


def _revoke(_: Revoked, event: Event, offset: int, license_: License) -> Folded:
    """Keep what a new incarnation goes on from; everything else of the license has ended."""
    tombstone = License(
        id=license_.id,
        status="revoked",
        epoch=license_.epoch,
        account=license_.account,
        product=license_.product,
        policy=license_.policy,
        policy_version=license_.policy_version,
        issued_ms=license_.issued_ms,
        issued_offset=license_.issued_offset,
        refusals=license_.refusals,
        commands=license_.commands,
        sources=license_.sources,
    )
    return granted(event, offset, tombstone)


def _deny(data: DenialImported, event: Event, offset: int, license_: License) -> Folded:
    return granted(event, offset, counted(license_, f"imported-{data.kind}"))


def _change_terms(data: TermsChanged, event: Event, offset: int, license_: License) -> Folded:
    """Set terms anew. Lowered ones evict nobody; a policy's older ones are stale."""
    before = in_force(license_)
    terms, version = before, license_.policy_version
    if not isinstance(data.terms, UnsetType):
        elsewhere = _given(data.policy, license_.policy) != license_.policy
        if elsewhere or (event.policy_version or 0) < version:
            return refused(verdicts.STALE_TERMS, event, offset, license_)
        terms, version = data.terms, event.policy_version or 0
    by_hand = not isinstance(data.own, UnsetType)
    changed = replace(
        license_,
        terms=terms,
        policy_version=version,
        own=_given(data.own, license_.own),
        endless=license_.endless and not by_hand,
        name=_given(data.name, license_.name),
        metadata=_given(data.metadata, license_.metadata),
    )
    return granted(event, offset, checking_in(before, settled(changed), event.time_ms))


def _change(data: Changed, event: Event, offset: int, license_: License) -> Folded:
    """Set on the license itself what is named; null goes back to what the policy says."""
    own = license_.own
    changed = replace(
        license_,
        name=_given(data.name, license_.name),
        metadata=_given(data.metadata, license_.metadata),
        own=OwnTerms(
            max_machines=_given(data.max_machines, own.max_machines),
            expiry_ms=_given(data.expiry_ms, own.expiry_ms),
            max_uses=_given(data.max_uses, own.max_uses),
            protected=_given(data.protected, own.protected),
        ),
        endless=license_.endless and isinstance(data.expiry_ms, UnsetType),
    )
    return granted(event, offset, settled(changed))


def _renew(data: Renewed, event: Event, offset: int, license_: License) -> Folded:
    """Give the license an expiry of its own, a duration later; one that it lacks counts as now."""
    duration_s, now_ms = in_force(license_).duration_s, event.time_ms
    if duration_s is None:
        return refused(verdicts.NO_DURATION, event, offset, license_)
    from_ms = now_ms if license_.expiry_ms is None else license_.expiry_ms
    if data.basis == "FROM_NOW" or (data.basis != "FROM_EXPIRY" and license_.expired(now_ms)):
        from_ms = now_ms
    own = replace(license_.own, expiry_ms=min(from_ms + duration_s * 1000, TIME_MS_MAX))
    return granted(event, offset, settled(replace(license_, own=own, endless=False)))


def _transfer(data: Transferred, event: Event, offset: int, license_: License) -> Folded:
    """Move the license to another policy; its own terms stay its own, but for the expiry."""
    before, version = in_force(license_), event.policy_version or 0
    if data.policy == license_.policy and version < license_.policy_version:
        return refused(verdicts.STALE_TERMS, event, offset, license_)
    reset = data.expiry == "RESET_EXPIRY"
    endless = license_.expiry_ms is None and (license_.endless or before.duration_s is None)
    moved = replace(
        license_,
        policy=data.policy,
        product=data.product,
        policy_version=version,
        terms=data.terms,
        own=replace(license_.own, expiry_ms=None if reset else license_.expiry_ms),
        started_ms=event.time_ms if reset else license_.started_ms,
        endless=endless and not reset,
    )
    return granted(event, offset, checking_in(before, settled(moved), event.time_ms))


def _attach(data: EntitlementsAttached, event: Event, offset: int, license_: License) -> Folded:
    """Attach all of them or none."""
    known, new = license_.entitlements, data.entitlements
    if not known.keys().isdisjoint(new):
        return refused(verdicts.ENTITLEMENT_TAKEN, event, offset, license_)
    if len(known) + len(new) > ENTITLEMENTS_MAX:
        return refused(verdicts.ENTITLEMENTS_EXCEEDED, event, offset, license_)
    return granted(event, offset, replace(license_, entitlements={**known, **new}))


def _detach(data: EntitlementsDetached, event: Event, offset: int, license_: License) -> Folded:
    """Detach all of them or none."""
    known, gone = license_.entitlements, frozenset(data.entitlements)
    if not gone <= known.keys():
        return refused(verdicts.NO_ENTITLEMENT, event, offset, license_)
    left = {id_: code for id_, code in known.items() if id_ not in gone}
    return granted(event, offset, replace(license_, entitlements=left))


def _given(new: T | UnsetType, old: T) -> T:
    """What was said, or what was where nothing was said."""
    return old if isinstance(new, UnsetType) else new


ORDERS: Final[dict[type, Order]] = {
    Suspended: _suspend,
    Reinstated: _reinstate,
    Revoked: _revoke,
    DenialImported: _deny,
    TermsChanged: _change_terms,
    Changed: _change,
    Renewed: _renew,
    Transferred: _transfer,
    EntitlementsAttached: _attach,
    EntitlementsDetached: _detach,
}
