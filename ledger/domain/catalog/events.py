"""Events of the catalog: what each type carries (docs/format.md, "Catalog").

Requests, like those of licenses: the fold gives each its verdict. A change names what it changes:
what is absent stays, null clears. `subject` is the id of the entity, given by the writer.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ledger.domain.catalog.entities import Distribution, Domain, Role, Slug
from ledger.domain.events import SEQUENCE_MAX, Data, Digest, Id, Metadata, Name, Rules, Word
from ledger.domain.terms import ENTITLEMENTS_MAX, Code, Terms, TimeMs

CATALOG_RULES: Final = 1
"""Version of the catalog's own fold, which every event names."""

TermValue = (
    Annotated[int, Meta(ge=-SEQUENCE_MAX, le=SEQUENCE_MAX)]
    | bool
    | Annotated[str, Meta(max_length=512)]
    | None
)
"""Value of one of a policy's terms in a change; whether it fits there, the fold says."""
TermsChange = Annotated[dict[Annotated[str, Meta(max_length=64)], TermValue], Meta(min_length=1)]
PartitionNumber = Annotated[int, Meta(ge=0, le=4095)]
Offset = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]


class AccountCreated(Data, frozen=True, kw_only=True):
    """A vendor came; the subject is the account."""

    slug: Slug
    name: Name | None = None
    domain: Domain | None = None


class AccountChanged(Data, frozen=True, kw_only=True):
    """An account's own values."""

    slug: Slug | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    domain: Domain | UnsetType | None = UNSET


class ProductCreated(Data, frozen=True, kw_only=True):
    """Something to be licensed."""

    name: Name
    code: Code | None = None
    url: Name | None = None
    distribution: Distribution = "LICENSED"
    platforms: list[Name] = field(default_factory=list)
    metadata: Metadata | None = None


class ProductChanged(Data, frozen=True, kw_only=True):
    """A product's own values; `platforms` as a whole."""

    name: Name | UnsetType = UNSET
    code: Code | UnsetType | None = UNSET
    url: Name | UnsetType | None = UNSET
    distribution: Distribution | UnsetType = UNSET
    platforms: list[Name] | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class ProductDeleted(Data, frozen=True, kw_only=True):
    """A product without policies goes."""


class PolicyCreated(Data, frozen=True, kw_only=True):
    """A template of terms for licenses of a product, at version 0."""

    product: Id
    name: Name
    terms: Terms
    metadata: Metadata | None = None


class PolicyChanged(Data, frozen=True, kw_only=True):
    """A policy's own values. `terms` names the members to change; it makes the next version."""

    name: Name | UnsetType = UNSET
    terms: TermsChange | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class PolicyEntitlementsAttached(Data, frozen=True, kw_only=True):
    """Entitlements of the account were attached to a policy's terms: codes by ids, all or none."""

    entitlements: Annotated[dict[Id, Code], Meta(min_length=1, max_length=ENTITLEMENTS_MAX)]


class PolicyEntitlementsDetached(Data, frozen=True, kw_only=True):
    """Entitlements were detached from a policy's terms, each named once; all of them or none."""

    entitlements: Annotated[list[Id], Meta(min_length=1, max_length=ENTITLEMENTS_MAX)]


class PolicyDeleted(Data, frozen=True, kw_only=True):
    """A policy goes; licenses keep the terms that they have."""


class EntitlementCreated(Data, frozen=True, kw_only=True):
    """A named right."""

    name: Name
    code: Code
    metadata: Metadata | None = None


class EntitlementChanged(Data, frozen=True, kw_only=True):
    """An entitlement's own values, but for its code: licenses carry that."""

    name: Name | UnsetType = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class EntitlementDeleted(Data, frozen=True, kw_only=True):
    """An entitlement goes; policies and licenses keep what they have of it."""


class TokenCreated(Data, frozen=True, kw_only=True):
    """A credential, by its keyed digest; `bearer` is the account, product or license."""

    role: Role
    bearer: Id
    digest: Digest
    name: Name | None = None
    expiry_ms: TimeMs | None = None


class TokenRegenerated(Data, frozen=True, kw_only=True):
    """A token has a new secret, and ends when it is said here: null is never."""

    digest: Digest
    expiry_ms: TimeMs | UnsetType | None = UNSET


class TokenRevoked(Data, frozen=True, kw_only=True):
    """A token goes."""


class RulesActivated(Data, frozen=True, kw_only=True):
    """From here on writers may use this rules version: all projectors know it."""

    version: Rules


class RecordDiscarded(Data, frozen=True, kw_only=True):
    """A record of license-events is to be left out, by order of a person."""

    partition: PartitionNumber
    offset: Offset


CatalogData = (
    AccountCreated
    | AccountChanged
    | ProductCreated
    | ProductChanged
    | ProductDeleted
    | PolicyCreated
    | PolicyChanged
    | PolicyEntitlementsAttached
    | PolicyEntitlementsDetached
    | PolicyDeleted
    | EntitlementCreated
    | EntitlementChanged
    | EntitlementDeleted
    | TokenCreated
    | TokenRegenerated
    | TokenRevoked
    | RulesActivated
    | RecordDiscarded
)

CATALOG_TYPES: Final[dict[str, type[CatalogData]]] = {
    "catalog.account-created": AccountCreated,
    "catalog.account-changed": AccountChanged,
    "catalog.product-created": ProductCreated,
    "catalog.product-changed": ProductChanged,
    "catalog.product-deleted": ProductDeleted,
    "catalog.policy-created": PolicyCreated,
    "catalog.policy-changed": PolicyChanged,
    "catalog.policy-entitlements-attached": PolicyEntitlementsAttached,
    "catalog.policy-entitlements-detached": PolicyEntitlementsDetached,
    "catalog.policy-deleted": PolicyDeleted,
    "catalog.entitlement-created": EntitlementCreated,
    "catalog.entitlement-changed": EntitlementChanged,
    "catalog.entitlement-deleted": EntitlementDeleted,
    "catalog.token-created": TokenCreated,
    "catalog.token-regenerated": TokenRegenerated,
    "catalog.token-revoked": TokenRevoked,
    "catalog.rules-activated": RulesActivated,
    "catalog.record-discarded": RecordDiscarded,
}
CATALOG_TYPE_NAMES: Final = {data: name for name, data in CATALOG_TYPES.items()}


class CatalogEvent(Struct, frozen=True, kw_only=True):
    """One event of the catalog, as the fold takes it.

    `id`: the command id. `account`: whose entity it is, and the record's key; `RULES_ID` for
    what is the whole ledger's. `subject`: the entity's id. `time_ms`: the sender's now.
    """

    id: Id
    source: Word
    account: Id
    subject: Id
    time_ms: TimeMs
    actor: Word
    content_digest: Digest
    data: CatalogData
    rules: int = CATALOG_RULES

    @property
    def type(self) -> str:
        """Name of the event's type."""
        return CATALOG_TYPE_NAMES[type(self.data)]
