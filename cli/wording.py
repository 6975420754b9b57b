"""What an event says beside its type, in words and as values; nothing that is sealed."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET

from ledger.domain.events import (
    Changed,
    EntitlementsAttached,
    EntitlementsDetached,
    EventData,
    MachineChanged,
    Renewed,
    Transferred,
    UsageRecorded,
    Validated,
)

_USES: Final = {"increment": "{by} more used", "decrement": "{by} taken back", "reset": "set to 0"}
_BASES: Final = {
    "FROM_EXPIRY": "from its expiry",
    "FROM_NOW": "from now",
    "FROM_NOW_IF_EXPIRED": "from now if it had expired, else from its expiry",
}


def in_words(data: EventData) -> str:
    """What the event says, in a few words; empty of an event whose type says it all."""
    if isinstance(data, Validated):
        return f"a check was answered {data.code}"
    if isinstance(data, UsageRecorded):
        return f"uses: {_USES[data.action].format(by=data.by)}"
    if isinstance(data, Renewed):
        return f"renewed {_BASES[data.basis]}"
    if isinstance(data, Transferred):
        kept = "expiry kept" if data.expiry == "KEEP_EXPIRY" else "expiry counted anew"
        return f"to policy {data.policy}, {kept}"
    if isinstance(data, Changed | MachineChanged):
        return f"changed: {', '.join(_named(data))}"
    if isinstance(data, EntitlementsAttached):
        return f"attached: {', '.join(sorted(data.entitlements.values()))}"
    if isinstance(data, EntitlementsDetached):
        return f"detached: {', '.join(sorted(data.entitlements))}"
    return ""


def as_values(data: EventData) -> dict[str, Any]:
    """What the event says, for programs. Of a changed machine the names of what changed."""
    if isinstance(data, Validated):
        return {"valid": data.valid, "code": data.code}
    if isinstance(data, UsageRecorded):
        return {"action": data.action, "by": data.by}
    if isinstance(data, Renewed):
        return {"basis": data.basis}
    if isinstance(data, Transferred):
        return {"policy": data.policy, "product": data.product, "expiry": data.expiry}
    if isinstance(data, Changed):
        return {"changed": {name: getattr(data, name) for name in _named(data)}}
    if isinstance(data, MachineChanged):
        return {"changed": _named(data)}
    if isinstance(data, EntitlementsAttached | EntitlementsDetached):
        return {"entitlements": data.entitlements}
    return {}


def _named(data: Changed | MachineChanged) -> list[str]:
    """Names of the fields that the event changes."""
    fields = data.__struct_fields__
    return [name for name in fields if name != "machine" and getattr(data, name) is not UNSET]
