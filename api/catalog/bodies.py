"""Bodies of requests about the catalog: their form and types. What may be asked is requests.py's.

Members that existing clients send and that mean nothing here are known, so that their usual value
is taken and any other one refused by name.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from api.bodies import Body, Identifier, Linkage
from api.unchanged import Related

Text = str | UnsetType | None
Number = int | UnsetType | None
Flag = bool | UnsetType | None


class AccountAttributes(Body, frozen=True, kw_only=True):
    """Attributes of an account."""

    slug: Text = UNSET
    name: Text = UNSET
    domain: Text = UNSET


class AccountData(Body, frozen=True, kw_only=True):
    """An account, new or changed."""

    type: str
    id: str | None = None
    attributes: AccountAttributes = AccountAttributes()


class AccountBody(Body, frozen=True, kw_only=True):
    """Body of POST accounts and PATCH accounts/{id}."""

    data: AccountData


class ProductAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a product."""

    name: Text = UNSET
    code: Text = UNSET
    url: Text = UNSET
    distribution_strategy: Text = UNSET
    platforms: list[str] | UnsetType | None = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    permissions: Any = UNSET


class ProductData(Body, frozen=True, kw_only=True):
    """A product, new or changed."""

    type: str
    id: str | None = None
    attributes: ProductAttributes = ProductAttributes()
    relationships: Related | None = None


class ProductBody(Body, frozen=True, kw_only=True):
    """Body of POST products and PATCH products/{id}."""

    data: ProductData


class PolicyAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a policy; those from `component_matching_strategy` on only as is usual.

    What is usual stands in requests.py.
    """

    name: Text = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    duration: Number = UNSET
    strict: Flag = UNSET
    floating: Flag = UNSET
    protected: Flag = UNSET
    max_machines: Number = UNSET
    max_uses: Number = UNSET
    overage_strategy: Text = UNSET
    expiration_strategy: Text = UNSET
    expiration_basis: Text = UNSET
    renewal_basis: Text = UNSET
    transfer_strategy: Text = UNSET
    authentication_strategy: Text = UNSET
    require_check_in: Flag = UNSET
    check_in_interval: Text = UNSET
    check_in_interval_count: Number = UNSET
    require_product_scope: Flag = UNSET
    require_policy_scope: Flag = UNSET
    require_machine_scope: Flag = UNSET
    require_fingerprint_scope: Flag = UNSET
    component_matching_strategy: Any = UNSET
    component_uniqueness_strategy: Any = UNSET
    concurrent: Any = UNSET
    encrypted: Any = UNSET
    heartbeat_basis: Any = UNSET
    heartbeat_cull_strategy: Any = UNSET
    heartbeat_duration: Any = UNSET
    heartbeat_resurrection_strategy: Any = UNSET
    leasing_strategy: Any = UNSET
    machine_leasing_strategy: Any = UNSET
    machine_matching_strategy: Any = UNSET
    machine_uniqueness_strategy: Any = UNSET
    max_cores: Any = UNSET
    max_disk: Any = UNSET
    max_licenses: Any = UNSET
    max_memory: Any = UNSET
    max_processes: Any = UNSET
    max_users: Any = UNSET
    process_leasing_strategy: Any = UNSET
    require_checksum_scope: Any = UNSET
    require_components_scope: Any = UNSET
    require_environment_scope: Any = UNSET
    require_heartbeat: Any = UNSET
    require_user_scope: Any = UNSET
    require_version_scope: Any = UNSET
    scheme: Any = UNSET
    use_pool: Any = UNSET


class PolicyRelationships(Body, frozen=True, kw_only=True):
    """Relationships of a policy."""

    product: Linkage | None = None
    environment: Any = None


class PolicyData(Body, frozen=True, kw_only=True):
    """A policy, new or changed."""

    type: str
    id: str | None = None
    attributes: PolicyAttributes = PolicyAttributes()
    relationships: PolicyRelationships = PolicyRelationships()


class PolicyBody(Body, frozen=True, kw_only=True):
    """Body of POST policies and PATCH policies/{id}."""

    data: PolicyData


class EntitlementAttributes(Body, frozen=True, kw_only=True):
    """Attributes of an entitlement."""

    name: Text = UNSET
    code: Text = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET


class EntitlementData(Body, frozen=True, kw_only=True):
    """An entitlement, new or changed."""

    type: str
    id: str | None = None
    attributes: EntitlementAttributes = EntitlementAttributes()
    relationships: Related | None = None


class EntitlementBody(Body, frozen=True, kw_only=True):
    """Body of POST entitlements and PATCH entitlements/{id}."""

    data: EntitlementData


class TokenAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a token; those from `max_activations` on only as null."""

    name: Text = UNSET
    expiry: Text = UNSET
    max_activations: Any = UNSET
    max_deactivations: Any = UNSET
    permissions: Any = UNSET


class TokenData(Body, frozen=True, kw_only=True):
    """A token, new or with a new secret."""

    type: str
    id: str | None = None
    attributes: TokenAttributes = TokenAttributes()
    relationships: Related | None = None


class TokenBody(Body, frozen=True, kw_only=True):
    """Body of POST tokens and PUT tokens/{id}; it may be missing."""

    data: TokenData = TokenData(type="tokens")


class Identifiers(Body, frozen=True, kw_only=True):
    """Body that names other resources: entitlements to attach or detach."""

    data: list[Identifier]


account_bodies: Final = msgspec.json.Decoder(AccountBody)
product_bodies: Final = msgspec.json.Decoder(ProductBody)
policy_bodies: Final = msgspec.json.Decoder(PolicyBody)
entitlement_bodies: Final = msgspec.json.Decoder(EntitlementBody)
token_bodies: Final = msgspec.json.Decoder(TokenBody)
identifiers_bodies: Final = msgspec.json.Decoder(Identifiers)
