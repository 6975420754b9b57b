"""Events: the envelope's facts and what each type carries (docs/format.md, "Events").

Requests are events too; the fold gives each its verdict. Sealed values are text of the form
`<data key id>.<base64url>`: the fold sees ciphertext and digests, never the value.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.domain import terms
from ledger.domain.terms import (
    ENTITLEMENTS_MAX,
    Code,
    OwnTerms,
    RenewalBasis,
    Seats,
    Terms,
    TimeMs,
    TransferStrategy,
    Uses,
)

RULES_VERSION: Final = 2
"""The latest that is known here; writers use the one that the catalog has activated."""
EVENT_BYTES_MAX: Final = 64 * 1024
METADATA_BYTES_MAX: Final = 16 * 1024
SECRET_BYTES_MAX: Final = 512
"""Of a license key and of a fingerprint, in UTF-8."""
SEQUENCE_MAX: Final = 2**53 - 1
RULES_MAX: Final = 2**31 - 1

Id = terms.Id
Digest = Annotated[str, Meta(max_length=32, pattern="^[0-9a-f]{32}$")]
Sealed = Annotated[str, Meta(min_length=18, max_length=2048)]
Name = Annotated[str, Meta(max_length=512)]
Word = Annotated[str, Meta(min_length=1, max_length=256)]
Sequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Version = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
Rules = Annotated[int, Meta(ge=1, le=RULES_MAX)]
Metadata = Annotated[str, Meta(max_length=METADATA_BYTES_MAX)]
CheckCode = Annotated[str, Meta(max_length=64, pattern=r"^[A-Z][A-Z_]{1,63}$(?!\n)")]


class Data(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    gc=False,
):
    """What an event of one type carries."""


class Issued(Data, frozen=True, kw_only=True):
    """A license was issued: whose, under which policy, on which terms."""

    account: Id
    product: Id
    policy: Id
    key: Sealed
    terms: Terms
    own: OwnTerms
    name: Name | None = None
    metadata: Metadata | None = None


class ActivationRequested(Data, frozen=True, kw_only=True):
    """Somebody asked for `seats` for a machine; who gets the last one the fold decides."""

    machine: Id
    fingerprint: Sealed
    fingerprint_digest: Digest
    seats: Seats = 1
    name: Sealed | None = None
    hostname: Sealed | None = None
    ip: Sealed | None = None
    platform: Name | None = None
    cores: Seats | None = None
    metadata: Metadata | None = None


class DeactivationRequested(Data, frozen=True, kw_only=True):
    """Somebody asked to give a machine's seats back."""

    machine: Id


class TermsChanged(Data, frozen=True, kw_only=True):
    """A license's terms were set anew: what is present as a whole, what is absent stays.

    `terms` come from the policy, at the event's `policyversion`; the others were set on the
    license itself, where null clears a name or metadata. `policy`: whose terms they are; those of
    another policy than the license has by then are stale.
    """

    policy: Id | UnsetType = UNSET
    terms: Terms | UnsetType = UNSET
    own: OwnTerms | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class Suspended(Data, frozen=True, kw_only=True):
    """A license was ordered to stop until it is reinstated."""


class Reinstated(Data, frozen=True, kw_only=True):
    """A suspension was ordered to end."""


class Revoked(Data, frozen=True, kw_only=True):
    """A license was ordered to end for good."""


class DenialImported(Data, frozen=True, kw_only=True):
    """Another license server refused somebody; `reason` is that server's word."""

    kind: Literal["denied", "unsupported"]
    seats: Seats = 1
    reason: Name | None = None
    fingerprint: Sealed | None = None


class Validated(Data, frozen=True, kw_only=True):
    """A check was answered with `code`, and is worth remembering."""

    valid: bool
    code: CheckCode
    machine: Id | None = None


class CheckedIn(Data, frozen=True, kw_only=True):
    """Somebody checked the license in."""


class UsageRecorded(Data, frozen=True, kw_only=True):
    """The license's count of uses was asked to change; a reset is by nothing."""

    action: Literal["increment", "decrement", "reset"]
    by: Seats = 1


class Renewed(Data, frozen=True, kw_only=True):
    """The expiry was asked to move on by the duration of the terms, counted from `basis`."""

    basis: RenewalBasis


class Transferred(Data, frozen=True, kw_only=True):
    """The license was moved to another policy; `expiry` says what becomes of its own."""

    policy: Id
    product: Id
    terms: Terms
    expiry: TransferStrategy = "KEEP_EXPIRY"


class Changed(Data, frozen=True, kw_only=True):
    """What is set on the license itself was changed: what is absent stays, null clears."""

    name: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    max_machines: Seats | UnsetType | None = UNSET
    max_uses: Uses | UnsetType | None = UNSET
    expiry_ms: TimeMs | UnsetType | None = UNSET
    protected: bool | UnsetType | None = UNSET


class MachineChanged(Data, frozen=True, kw_only=True):
    """What is known of a machine was changed: what is absent stays, null clears."""

    machine: Id
    name: Sealed | UnsetType | None = UNSET
    hostname: Sealed | UnsetType | None = UNSET
    ip: Sealed | UnsetType | None = UNSET
    platform: Name | UnsetType | None = UNSET
    cores: Seats | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class EntitlementsAttached(Data, frozen=True, kw_only=True):
    """Entitlements were attached to the license itself: their codes by their ids."""

    entitlements: Annotated[dict[Id, Code], Meta(min_length=1, max_length=ENTITLEMENTS_MAX)]


class EntitlementsDetached(Data, frozen=True, kw_only=True):
    """Entitlements were detached from the license itself, each named once."""

    entitlements: Annotated[list[Id], Meta(min_length=1, max_length=ENTITLEMENTS_MAX)]


EventData = (
    Issued
    | TermsChanged
    | ActivationRequested
    | DeactivationRequested
    | Suspended
    | Reinstated
    | Revoked
    | DenialImported
    | Validated
    | CheckedIn
    | UsageRecorded
    | Renewed
    | Transferred
    | Changed
    | MachineChanged
    | EntitlementsAttached
    | EntitlementsDetached
)

TYPES: Final[dict[str, type[EventData]]] = {
    "license.issued": Issued,
    "license.terms-changed": TermsChanged,
    "license.activation-requested": ActivationRequested,
    "license.deactivation-requested": DeactivationRequested,
    "license.suspended": Suspended,
    "license.reinstated": Reinstated,
    "license.revoked": Revoked,
    "license.denial-imported": DenialImported,
    "license.validated": Validated,
    "license.checked-in": CheckedIn,
    "license.usage-recorded": UsageRecorded,
    "license.renewed": Renewed,
    "license.transferred": Transferred,
    "license.changed": Changed,
    "license.machine-changed": MachineChanged,
    "license.entitlements-attached": EntitlementsAttached,
    "license.entitlements-detached": EntitlementsDetached,
}
"""Types that the latest rules version folds; docs/format.md has the schema of every other."""

TYPE_NAMES: Final[dict[type[EventData], str]] = {data: name for name, data in TYPES.items()}


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """One event of a license, as the fold takes it.

    `id`: the command id. `time_ms`: the sender's now, the calendar. `rules`: the version that
    the catalog has activated; 1 where there is none. `sequence` and
    `source_digest` stand on imported events only: the line's number and a keyed digest of the
    source up to and including it. `occurred_at_ms`: when it happened in the source system; it
    is shown and adjudicates nothing.
    """

    id: Id
    source: Word
    license: Id
    time_ms: TimeMs
    actor: Word
    content_digest: Digest
    data: EventData
    rules: int = 1
    policy_version: Version | None = None
    sequence: Sequence | None = None
    source_digest: Digest | None = None
    occurred_at_ms: TimeMs | None = None

    @property
    def type(self) -> str:
        """Name of the event's type."""
        return TYPE_NAMES[type(self.data)]
