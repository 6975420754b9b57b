"""The catalog's golden records: each type, sparse and in full."""

from __future__ import annotations

from ledger.domain.catalog.events import (
    AccountChanged,
    AccountCreated,
    CatalogEvent,
    EntitlementChanged,
    EntitlementCreated,
    EntitlementDeleted,
    PolicyChanged,
    PolicyCreated,
    PolicyDeleted,
    PolicyEntitlementsAttached,
    PolicyEntitlementsDetached,
    ProductChanged,
    ProductCreated,
    ProductDeleted,
    RecordDiscarded,
    RulesActivated,
    TokenCreated,
    TokenRegenerated,
    TokenRevoked,
)
from ledger.event_log.catalog_codec import encode_catalog
from tests.ledger.domain.catalog.given import ENTITLEMENT, TOKEN, digest_of, id_of, ordered
from tests.ledger.domain.given import ACCOUNT, LICENSE, NOW_MS, POLICY, PRODUCT
from tests.ledger.domain.golden_records_2 import TERMS_1 as TERMS

_METADATA = '{"order":"A-1042"}'
_IN_FULL = ProductCreated(
    name="Kälte & Söhne CAD",
    code="cad-3.1",
    url="https://cad.example/",
    distribution="CLOSED",
    platforms=["Windows 10", "Linux"],
    metadata=_METADATA,
)


def golden_events() -> dict[str, CatalogEvent]:
    """Events of all types, by name of their file."""
    entitlement, token, policy, product = ENTITLEMENT, TOKEN, POLICY, PRODUCT
    return {
        "catalog.account-created": ordered(AccountCreated(slug="demo"), "account"),
        "catalog.account-created.full": ordered(
            AccountCreated(slug="demo-2", name="Kälte & Söhne", domain="licenses.example"),
            "account in full",
            subject=id_of("account"),
            account=id_of("account"),
        ),
        "catalog.account-changed": ordered(
            AccountChanged(slug="demo-3", name=None, domain="demo.example"),
            "change account",
            subject=ACCOUNT,
        ),
        "catalog.product-created": ordered(ProductCreated(name="Product"), "product"),
        "catalog.product-created.full": ordered(_IN_FULL, "product in full"),
        "catalog.product-changed": ordered(
            ProductChanged(code=None, distribution="OPEN", platforms=[]),
            "change product",
            subject=product,
        ),
        "catalog.product-deleted": ordered(ProductDeleted(), "delete product", subject=product),
        "catalog.policy-created": ordered(
            PolicyCreated(product=product, name="Standard", terms=TERMS), "policy"
        ),
        "catalog.policy-changed": ordered(
            PolicyChanged(
                name="Trial",
                terms={"max_machines": 5, "duration_s": None, "strict": True},
                metadata=None,
            ),
            "change policy",
            subject=policy,
        ),
        "catalog.policy-entitlements-attached": ordered(
            PolicyEntitlementsAttached(entitlements={entitlement: "EXPORT"}),
            "attach",
            subject=policy,
        ),
        "catalog.policy-entitlements-detached": ordered(
            PolicyEntitlementsDetached(entitlements=[entitlement]), "detach", subject=policy
        ),
        "catalog.policy-deleted": ordered(PolicyDeleted(), "delete policy", subject=policy),
        "catalog.entitlement-created": ordered(
            EntitlementCreated(name="Export", code="EXPORT", metadata=_METADATA), "entitlement"
        ),
        "catalog.entitlement-changed": ordered(
            EntitlementChanged(name="Export of files"), "change entitlement", subject=entitlement
        ),
        "catalog.entitlement-deleted": ordered(
            EntitlementDeleted(), "delete entitlement", subject=entitlement
        ),
        "catalog.token-created": ordered(
            TokenCreated(role="admin", bearer=ACCOUNT, digest=digest_of("admin")), "token"
        ),
        "catalog.token-created.full": ordered(
            TokenCreated(
                role="activation",
                bearer=LICENSE,
                digest=digest_of("activation"),
                name="Front desk",
                expiry_ms=NOW_MS + 86_400_000,
            ),
            "token in full",
        ),
        "catalog.token-regenerated": ordered(
            TokenRegenerated(digest=digest_of("anew")), "regenerate token", subject=token
        ),
        "catalog.token-regenerated.for-ever": ordered(
            TokenRegenerated(digest=digest_of("for ever"), expiry_ms=None),
            "regenerate token for ever",
            subject=token,
        ),
        "catalog.token-revoked": ordered(TokenRevoked(), "revoke token", subject=token),
        "catalog.rules-activated": ordered(RulesActivated(version=2), "rules"),
        "catalog.record-discarded": ordered(RecordDiscarded(partition=12, offset=1042), "discard"),
    }


def golden_records() -> dict[str, bytes]:
    """Values of the records of all types, by name of their file."""
    return {name: encode_catalog(event) for name, event in golden_events().items()}
