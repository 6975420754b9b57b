"""What the types alone don't say of an event's data; pure. What isn't so is poison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import UNSET

from ledger.domain import events
from ledger.domain.identifiers import ROUTING_DIGITS


def check_sound(data: events.EventData, license_: str, policy_version: int | None) -> None:
    """Raise `ValueError` where `data` is no event of this license: what it says is in no answer.

    A machine lies where its license does, or a check would look for it elsewhere.
    """
    machine = getattr(data, "machine", None)
    if machine is not None and machine[-ROUTING_DIGITS:] != license_[-ROUTING_DIGITS:]:
        msg = "the machine is not of this license"
        raise ValueError(msg)
    check = _CHECKS.get(type(data))
    if check is not None:
        check(data, policy_version)


def _terms(data: events.TermsChanged, policy_version: int | None) -> None:
    """A change changes something, and a policy is named with its terms."""
    if data == events.TermsChanged():
        msg = "a change of terms names none"
        raise ValueError(msg)
    if data.terms is not UNSET:
        _policy(policy_version)
    elif data.policy is not UNSET:
        msg = "a policy is named without its terms"
        raise ValueError(msg)


def _transfer(_: events.Transferred, policy_version: int | None) -> None:
    _policy(policy_version)


def _policy(policy_version: int | None) -> None:
    """A policy's terms say of which version they are."""
    if policy_version is None:
        msg = "a policy's terms have no version"
        raise ValueError(msg)


def _change(data: events.Changed | events.MachineChanged, _: int | None) -> None:
    fields = (name for name in data.__struct_fields__ if name != "machine")
    if all(getattr(data, name) is UNSET for name in fields):
        msg = "a change names nothing"
        raise ValueError(msg)


def _usage(data: events.UsageRecorded, _: int | None) -> None:
    if data.action == "reset" and data.by != 1:
        msg = "a reset is by nothing"
        raise ValueError(msg)


def _detached(data: events.EntitlementsDetached, _: int | None) -> None:
    if len(set(data.entitlements)) < len(data.entitlements):
        msg = "an entitlement is named twice"
        raise ValueError(msg)


_CHECKS: Final[dict[type, Callable[[Any, int | None], None]]] = {
    events.TermsChanged: _terms,
    events.Transferred: _transfer,
    events.Changed: _change,
    events.MachineChanged: _change,
    events.UsageRecorded: _usage,
    events.EntitlementsDetached: _detached,
}
