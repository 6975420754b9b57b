"""Entities of the catalog as the contract's resources. A token is shown once, when it is made."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from api.resources import HEARTBEAT_S
from ledger.domain.catalog.entities import (
    Account,
    AnyEntity,
    Entitlement,
    Policy,
    Product,
    Token,
)
from ledger.domain.clocks import rfc3339

_encoder: Final = msgspec.json.Encoder()
Relationships = dict[str, object]

TYPES: Final[dict[type[AnyEntity], str]] = {
    Account: "accounts",
    Product: "products",
    Policy: "policies",
    Entitlement: "entitlements",
    Token: "tokens",
}
BEARERS: Final = {"admin": "accounts", "product": "products", "activation": "licenses"}
"""What a token of each role speaks for."""


def entity_path(entity: AnyEntity) -> str:
    """Where an entity is found."""
    if isinstance(entity, Account):
        return f"/v1/accounts/{entity.id}"
    return f"/v1/accounts/{entity.account}/{TYPES[type(entity)]}/{entity.id}"


def entity_resource(entity: AnyEntity, *, secret: str | None = None) -> bytes:
    """Resource of an entity; `secret`: the token itself, which is told only when it was made."""
    attributes, relationships = _shown(entity, secret)
    path = entity_path(entity)
    return _encoder.encode(
        {
            "id": entity.id,
            "type": TYPES[type(entity)],
            "attributes": {
                **attributes,
                "created": rfc3339(entity.created_ms),
                "updated": rfc3339(entity.changed_ms),
            },
            "relationships": {"account": linked("accounts", entity.account), **relationships},
            "links": {"self": path},
        }
    )


def progress_resource(policy: Policy, *, licenses: int, behind: int) -> bytes:
    """Resource that says how far a policy's terms have come; its id is the policy's."""
    return _encoder.encode(
        {
            "id": policy.id,
            "type": "policy-progress",
            "attributes": {"version": policy.version, "licenses": licenses, "behind": behind},
            "relationships": {"policy": linked("policies", policy.id)},
            "links": {"self": f"{entity_path(policy)}/progress"},
        }
    )


def linked(type_: str, id_: str) -> dict[str, object]:
    """Relationship to one other resource."""
    return {"data": {"type": type_, "id": id_}}


def _shown(entity: AnyEntity, secret: str | None) -> tuple[dict[str, object], Relationships]:
    if isinstance(entity, Product):
        return _product(entity), {}
    if isinstance(entity, Policy):
        related = {"entitlements": {"links": {"related": f"{entity_path(entity)}/entitlements"}}}
        return _policy(entity), {"product": linked("products", entity.product), **related}
    if isinstance(entity, Entitlement):
        named = {"name": entity.name, "code": entity.code}
        return {**named, "metadata": _metadata(entity.metadata)}, {}
    if isinstance(entity, Token):
        return _token(entity, secret), {"bearer": linked(BEARERS[entity.role], entity.bearer)}
    assert isinstance(entity, Account)  # noqa: S101 - nothing else of the catalog is a resource
    return {"slug": entity.slug, "name": entity.name, "domain": entity.domain}, {}


def _product(product: Product) -> dict[str, object]:
    return {
        "name": product.name,
        "code": product.code,
        "url": product.url,
        "distributionStrategy": product.distribution,
        "platforms": product.platforms,
        "metadata": _metadata(product.metadata),
    }


def _policy(policy: Policy) -> dict[str, object]:
    terms = policy.terms
    return {
        "name": policy.name,
        "version": policy.version,
        "duration": terms.duration_s,
        "strict": terms.strict,
        "floating": terms.floating,
        "protected": terms.protected,
        "maxMachines": terms.max_machines,
        "maxUses": terms.max_uses,
        "overageStrategy": terms.overage,
        "expirationStrategy": terms.expiration_strategy,
        "expirationBasis": terms.expiration_basis,
        "renewalBasis": terms.renewal_basis,
        "transferStrategy": terms.transfer_strategy,
        "authenticationStrategy": terms.authentication_strategy,
        "requireCheckIn": terms.require_check_in,
        "checkInInterval": terms.check_in_interval,
        "checkInIntervalCount": terms.check_in_interval_count,
        "requireProductScope": terms.require_product_scope,
        "requirePolicyScope": terms.require_policy_scope,
        "requireMachineScope": terms.require_machine_scope,
        "requireFingerprintScope": terms.require_fingerprint_scope,
        "metadata": _metadata(policy.metadata),
        **_FIXED,
    }


_FIXED: Final[dict[str, object]] = {
    "scheme": None,
    "encrypted": False,
    "usePool": False,
    "requireHeartbeat": False,
    "heartbeatDuration": HEARTBEAT_S,
    "heartbeatCullStrategy": "DEACTIVATE_DEAD",
    "heartbeatResurrectionStrategy": "NO_REVIVE",
    "heartbeatBasis": "FROM_FIRST_PING",
    "machineUniquenessStrategy": "UNIQUE_PER_LICENSE",
    "machineMatchingStrategy": "MATCH_ANY",
    "componentUniquenessStrategy": "UNIQUE_PER_MACHINE",
    "componentMatchingStrategy": "MATCH_ANY",
    "machineLeasingStrategy": "PER_LICENSE",
    "processLeasingStrategy": "PER_MACHINE",
    "maxProcesses": None,
    "maxCores": None,
    "maxUsers": None,
    "maxLicenses": None,
    "maxMemory": None,
    "maxDisk": None,
}
"""What every policy does: other values are refused (requests.py)."""


def _token(token: Token, secret: str | None) -> dict[str, object]:
    shown: dict[str, object] = {
        "kind": f"{token.role}-token",
        "name": token.name,
        "expiry": None if token.expiry_ms is None else rfc3339(token.expiry_ms),
        "permissions": None,
        "maxActivations": None,
        "maxDeactivations": None,
    }
    return shown if secret is None else {**shown, "token": secret}


def _metadata(text: str | None) -> Raw:
    return Raw((text or "{}").encode())


class Document(Struct, frozen=True, kw_only=True):
    """A document of many resources, with the links to the pages beside it."""

    data: list[Raw]
    links: object


def list_document(resources: list[bytes], links: object) -> bytes:
    """Document of a list."""
    return _encoder.encode(Document(data=[Raw(one) for one in resources], links=links))
