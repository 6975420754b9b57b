"""Claims: what only one entity may have, by the names under which their holders are found."""

from __future__ import annotations

from msgspec import UnsetType

from ledger.domain.catalog import verdicts
from ledger.domain.catalog.entities import (
    Account,
    AnyEntity,
    Discard,
    Entitlement,
    Product,
    Token,
    code_claim,
    digest_claim,
    discard_claim,
    domain_claim,
    slug_claim,
)
from ledger.domain.catalog.events import (
    AccountChanged,
    AccountCreated,
    CatalogEvent,
    EntitlementCreated,
    ProductChanged,
    ProductCreated,
    RecordDiscarded,
    TokenCreated,
    TokenRegenerated,
)


def claims_of(entity: AnyEntity | None) -> dict[str, str]:
    """All claims of an entity, each with the verdict on whoever else wants it."""
    if isinstance(entity, Account):
        held = {slug_claim(entity.slug): verdicts.SLUG_TAKEN}
        if entity.domain is not None:
            held[domain_claim(entity.domain)] = verdicts.DOMAIN_TAKEN
        return held
    if isinstance(entity, Product) and entity.code is not None:
        return {code_claim(entity.account, "product", entity.code): verdicts.CODE_TAKEN}
    if isinstance(entity, Entitlement):
        return {code_claim(entity.account, "entitlement", entity.code): verdicts.CODE_TAKEN}
    if isinstance(entity, Token):
        return {digest_claim(entity.digest): verdicts.DIGEST_TAKEN}
    if isinstance(entity, Discard):
        return {discard_claim(entity.partition, entity.record): verdicts.ALREADY_DISCARDED}
    return {}


def claims_wanted(event: CatalogEvent) -> list[str]:
    """Claims that an event may make; it looks at no others."""
    data, account = event.data, event.account
    if isinstance(data, AccountCreated | AccountChanged):
        slug, domain = data.slug, data.domain
        wanted = [] if isinstance(slug, UnsetType) else [slug_claim(slug)]
        return wanted if isinstance(domain, UnsetType | None) else [*wanted, domain_claim(domain)]
    if isinstance(data, ProductCreated | ProductChanged):
        code = data.code
        return [] if isinstance(code, UnsetType | None) else [code_claim(account, "product", code)]
    if isinstance(data, EntitlementCreated):
        return [code_claim(account, "entitlement", data.code)]
    if isinstance(data, TokenCreated | TokenRegenerated):
        return [digest_claim(data.digest)]
    if isinstance(data, RecordDiscarded):
        return [discard_claim(data.partition, data.offset)]
    return []
