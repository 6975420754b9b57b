"""Changes of licenses and machines: bodies, and what they ask. Raises 4xx `Problem`s.

What is absent stays as it is; null gives a license's value back to its policy, and clears others.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from api.bodies import Body, Identifier, read_body
from api.problems import malformed, pointer
from api.requests import (
    count,
    metadata_text,
    name_text,
    nothing_changed,
    refuse_unsupported,
    time_ms,
)
from api.unchanged import Related
from ledger.domain.events import Changed, UsageRecorded
from ledger.domain.terms import SEATS_MAX

Text = str | UnsetType | None
Number = int | UnsetType | None
Metadata = dict[str, Any] | UnsetType | None
Action = Literal["increment", "decrement"]

_ATTRIBUTES: Final = "/data/attributes"


class LicenseChangeAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a changed license; those from `key` on not at all."""

    name: Text = UNSET
    expiry: Text = UNSET
    max_machines: Number = UNSET
    max_uses: Number = UNSET
    protected: bool | UnsetType | None = UNSET
    metadata: Metadata = UNSET
    key: Any = UNSET
    max_cores: Any = UNSET
    max_disk: Any = UNSET
    max_memory: Any = UNSET
    max_processes: Any = UNSET
    max_users: Any = UNSET
    permissions: Any = UNSET
    suspended: Any = UNSET


class LicenseChangeData(Body, frozen=True, kw_only=True):
    """A changed license."""

    type: str
    id: str | None = None
    attributes: LicenseChangeAttributes = LicenseChangeAttributes()
    relationships: Related | None = None


class LicenseChange(Body, frozen=True, kw_only=True):
    """Body of PATCH licenses/{id}."""

    data: LicenseChangeData


class MachineChangeAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a changed machine; those from `fingerprint` on not at all."""

    name: Text = UNSET
    hostname: Text = UNSET
    ip: Text = UNSET
    platform: Text = UNSET
    cores: Number = UNSET
    metadata: Metadata = UNSET
    fingerprint: Any = UNSET
    seats: Any = UNSET
    disk: Any = UNSET
    max_processes: Any = UNSET
    memory: Any = UNSET


class MachineChangeData(Body, frozen=True, kw_only=True):
    """A changed machine."""

    type: str
    id: str | None = None
    attributes: MachineChangeAttributes = MachineChangeAttributes()
    relationships: Related | None = None


class MachineChange(Body, frozen=True, kw_only=True):
    """Body of PATCH machines/{id}."""

    data: MachineChangeData


class UsageMeta(Body, frozen=True, kw_only=True):
    """By how much a count of uses is to change."""

    increment: int | UnsetType = UNSET
    decrement: int | UnsetType = UNSET


class Usage(Body, frozen=True, kw_only=True):
    """Body of POST licenses/{id}/actions/increment-usage and decrement-usage; it may be missing."""

    meta: UsageMeta = UsageMeta()


class PolicyLink(Body, frozen=True, kw_only=True):
    """Body of PUT licenses/{id}/policy."""

    data: Identifier


class MachineChangeRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="change"):
    """What is to be known of a machine from now on; UNSET stays, None clears."""

    machine: str
    name: Text = UNSET
    hostname: Text = UNSET
    ip: Text = UNSET
    platform: Text = UNSET
    cores: Number = UNSET
    metadata: Text = UNSET


license_change_bodies: Final = msgspec.json.Decoder(LicenseChange)
machine_change_bodies: Final = msgspec.json.Decoder(MachineChange)
usage_bodies: Final = msgspec.json.Decoder(Usage)
policy_link_bodies: Final = msgspec.json.Decoder(PolicyLink)


def license_changed(given: LicenseChangeAttributes) -> Changed:
    """Check a change of a license."""
    refuse_unsupported(given, _ATTRIBUTES, "key")
    expiry = given.expiry
    changed = Changed(
        name=_name(given.name, "name"),
        expiry_ms=time_ms(expiry, "expiry") if isinstance(expiry, str) else expiry,
        max_machines=_count(given.max_machines, "maxMachines", 1),
        max_uses=_count(given.max_uses, "maxUses", 0),
        protected=given.protected,
        metadata=_metadata(given.metadata),
    )
    if changed == Changed():
        raise nothing_changed()
    return changed


def machine_change(given: MachineChangeAttributes, machine: str) -> MachineChangeRequest:
    """Check a change of a machine."""
    refuse_unsupported(given, _ATTRIBUTES, "fingerprint")
    request = MachineChangeRequest(
        machine=machine,
        name=_name(given.name, "name"),
        hostname=_name(given.hostname, "hostname"),
        ip=_name(given.ip, "ip"),
        platform=_name(given.platform, "platform"),
        cores=_count(given.cores, "cores", 1),
        metadata=_metadata(given.metadata),
    )
    if request == MachineChangeRequest(machine=machine):
        raise nothing_changed()
    return request


def usage(content: bytes, action: Action) -> UsageRecorded:
    """Check by how much a count of uses is to change; by 1 unless it is said."""
    meta = read_body(usage_bodies, content).meta if content else UsageMeta()
    given, other = meta.increment, meta.decrement
    if action == "decrement":
        given, other = other, given
    if other is not UNSET:
        raise malformed(
            "MEMBER_UNKNOWN",
            f"This action takes {action} only: leave the other out.",
            pointer("/meta"),
        )
    by = 1 if isinstance(given, UnsetType) else given
    if not 1 <= by <= SEATS_MAX:
        raise malformed(
            "VALUE_OUT_OF_RANGE",
            f"{action} is a whole number from 1 to {SEATS_MAX}.",
            pointer(f"/meta/{action}"),
        )
    return UsageRecorded(action=action, by=by)


def _name(text: Text, name: str) -> Text:
    return text if isinstance(text, UnsetType) else name_text(text, name)


def _count(number: Number, name: str, least: int) -> Number:
    return number if isinstance(number, UnsetType) else count(number, name, least=least)


def _metadata(given: Metadata) -> Text:
    return given if isinstance(given, UnsetType) else metadata_text(given)
