"""What answers are made of: every attribute that a resource has, and no other one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ledger.domain.catalog.entities import Distribution
from ledger.domain.terms import (
    AuthenticationStrategy,
    CheckInInterval,
    ExpirationBasis,
    ExpirationStrategy,
    Overage,
    RenewalBasis,
    TransferStrategy,
)

Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Metadata = dict[str, Any]


class Shape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An object of an answer."""


class Seats(Shape, frozen=True, kw_only=True):
    """Seats of a license: used now, allowed (null: any number), and the most there were."""

    limit: int | None
    peak: int
    peak_position: int
    used: int


class ShownLicense(Shape, frozen=True, kw_only=True):
    """Attributes of a license. `key` is empty where it was forgotten or can't be opened."""

    created: Moment
    encrypted: Literal[False]
    expiry: Moment | None
    floating: bool
    key: str
    last_check_in: Moment | None
    last_validated: Moment | None
    max_cores: None
    max_machines: int | None
    max_processes: None
    max_users: None
    max_uses: int | None
    metadata: Metadata
    name: str | None
    next_check_in: Moment | None
    protected: bool
    refusals: dict[str, int]
    require_check_in: bool
    require_heartbeat: Literal[False]
    scheme: None
    seats: Seats
    status: Literal["ACTIVE", "EXPIRING", "EXPIRED", "SUSPENDED"]
    strict: bool
    suspended: bool
    updated: Moment
    uses: int


class ShownMachine(Shape, frozen=True, kw_only=True):
    """Attributes of a machine. `fingerprint` is empty where it was forgotten."""

    fingerprint: str
    name: str | None
    ip: str | None
    hostname: str | None
    platform: str | None
    cores: int | None
    memory: None
    disk: None
    seats: int
    max_processes: None
    require_heartbeat: Literal[False]
    heartbeat_status: Literal["NOT_STARTED"]
    heartbeat_duration: int
    last_heartbeat: None
    next_heartbeat: None
    last_check_out: None
    created: Moment
    updated: Moment
    metadata: Metadata


class ShownAccount(Shape, frozen=True, kw_only=True):
    """Attributes of an account."""

    slug: str
    name: str | None
    domain: str | None
    created: Moment
    updated: Moment


class ShownProduct(Shape, frozen=True, kw_only=True):
    """Attributes of a product."""

    name: str
    code: str | None
    url: str | None
    distribution_strategy: Distribution
    platforms: list[str]
    metadata: Metadata
    created: Moment
    updated: Moment


class ShownPolicy(Shape, frozen=True, kw_only=True):
    """Attributes of a policy; those from `scheme` on are the same for every policy."""

    name: str
    version: int
    duration: int | None
    strict: bool
    floating: bool
    protected: bool
    max_machines: int | None
    max_uses: int | None
    overage_strategy: Overage
    expiration_strategy: ExpirationStrategy
    expiration_basis: ExpirationBasis
    renewal_basis: RenewalBasis
    transfer_strategy: TransferStrategy
    authentication_strategy: AuthenticationStrategy
    require_check_in: bool
    check_in_interval: CheckInInterval | None
    check_in_interval_count: int
    require_product_scope: bool
    require_policy_scope: bool
    require_machine_scope: bool
    require_fingerprint_scope: bool
    metadata: Metadata
    created: Moment
    updated: Moment
    scheme: None
    encrypted: Literal[False]
    use_pool: Literal[False]
    require_heartbeat: Literal[False]
    heartbeat_duration: int
    heartbeat_cull_strategy: Literal["DEACTIVATE_DEAD"]
    heartbeat_resurrection_strategy: Literal["NO_REVIVE"]
    heartbeat_basis: Literal["FROM_FIRST_PING"]
    machine_uniqueness_strategy: Literal["UNIQUE_PER_LICENSE"]
    machine_matching_strategy: Literal["MATCH_ANY"]
    component_uniqueness_strategy: Literal["UNIQUE_PER_MACHINE"]
    component_matching_strategy: Literal["MATCH_ANY"]
    machine_leasing_strategy: Literal["PER_LICENSE"]
    process_leasing_strategy: Literal["PER_MACHINE"]
    max_processes: None
    max_cores: None
    max_users: None
    max_licenses: None
    max_memory: None
    max_disk: None


class ShownProgress(Shape, frozen=True, kw_only=True):
    """How many licenses of a policy there are, and how many don't have its present terms yet."""

    version: int
    licenses: int
    behind: int


class ShownEntitlement(Shape, frozen=True, kw_only=True):
    """Attributes of an entitlement."""

    name: str
    code: str
    metadata: Metadata
    created: Moment
    updated: Moment


class ShownToken(Shape, frozen=True, kw_only=True):
    """Attributes of a token. `token` is the secret: in the answer that made it, and never again."""

    kind: Literal["admin-token", "product-token", "activation-token"]
    name: str | None
    expiry: Moment | None
    permissions: None
    max_activations: None
    max_deactivations: None
    token: str | UnsetType = UNSET
    created: Moment
    updated: Moment


class ShownAttachment(Shape, frozen=True, kw_only=True):
    """Attributes of an attached entitlement."""

    created: Moment
    updated: Moment


class SeatsThen(Shape, frozen=True, kw_only=True):
    """Seats held and allowed when it was decided; null: any number."""

    used: int
    limit: int | None


class ShownCommand(Shape, frozen=True, kw_only=True):
    """Attributes of a command: the ledger's own code, and how it stood when it was decided."""

    status: Literal["pending", "granted", "refused"]
    code: str | None
    position: str
    decided: Moment | None
    seats: SeatsThen | None


class CheckScope(Shape, frozen=True, kw_only=True):
    """The scope of the request, as it was sent."""

    product: str | UnsetType = UNSET
    policy: str | UnsetType = UNSET
    fingerprint: str | UnsetType = UNSET
    fingerprints: list[str] | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    entitlements: list[str] | UnsetType = UNSET


class QuickCheckMeta(Shape, frozen=True, kw_only=True):
    """What a check for no scope has found, and from which state of the ledger.

    `position`: ledger, partition and offset of the last event known. `frozen`: the license stands
    as it was before a record that could not be folded. `order`: the emergency order that approves
    it; then position and age may be null: nothing is known of the key.
    """

    ts: Moment
    valid: bool
    detail: str
    code: str
    position: str | None
    age_ms: int | None
    source: str
    frozen: Literal[True] | UnsetType = UNSET
    order: Id | UnsetType = UNSET


class CheckMeta(QuickCheckMeta, frozen=True, kw_only=True):
    """The same of a check for a scope, which comes back with what was asked."""

    scope: CheckScope
    nonce: int | UnsetType = UNSET


class ManyMeta(Shape, frozen=True, kw_only=True):
    """`ts`: the time that all checks of the request were judged for."""

    ts: Moment


class ShownValidation(Shape, frozen=True, kw_only=True):
    """What one of many checks has found; `license`: its id, null where they see none.

    Where it can't be told now, `valid` is null, `code` UNAVAILABLE, and what tells from which state
    of the ledger it is said is null, too.
    """

    valid: bool | None
    detail: str
    code: str
    license: Id | None
    position: str | None
    age_ms: int | None
    source: str | None
    frozen: Literal[True] | UnsetType = UNSET


class PageCount(Shape, frozen=True, kw_only=True):
    """How many pages and entries there are; null where that isn't counted."""

    pages: int | None
    count: int | None


class Links(Shape, frozen=True, kw_only=True):
    """Links of a page: none in the form `limit`, `self` and `next` in the form of cursors."""

    self: str | UnsetType = UNSET
    prev: str | UnsetType | None = UNSET
    next: str | UnsetType | None = UNSET
    first: str | UnsetType = UNSET
    last: str | UnsetType | None = UNSET
    meta: PageCount | UnsetType = UNSET


class Source(Shape, frozen=True, kw_only=True):
    """What an error is about: a place in the body, a parameter of the query, or a header."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    header: str | UnsetType = UNSET


class OneError(Shape, frozen=True, kw_only=True):
    """An error: `code` is for programs; `detail` says what is wrong and what to do."""

    title: str
    detail: str
    code: str
    source: Source | UnsetType = UNSET
    links: dict[str, str] | UnsetType = UNSET


class ErrorMeta(Struct, frozen=True, kw_only=True):
    """`id`: of the request. Further members tell more of some errors, such as where they stand."""

    id: str


class Errors(Shape, frozen=True, kw_only=True):
    """An answer that is an error. The first one is what it was decided by."""

    meta: ErrorMeta
    errors: Annotated[list[OneError], Meta(min_length=1)]
