"""Givens of the catalog's tests: events in few words."""

from __future__ import annotations

from ledger.domain import identifiers
from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    AccountCreated,
    CatalogData,
    CatalogEvent,
    EntitlementCreated,
    PolicyCreated,
    ProductCreated,
    RecordDiscarded,
    RulesActivated,
    TokenCreated,
)
from ledger.domain.terms import Terms
from tests.ledger.domain.given import (
    ACCOUNT,
    ACTOR,
    LEDGER,
    NOW_MS,
    PEPPER,
    POLICY,
    PRODUCT,
    content_of,
)

OTHER_ACCOUNT = identifiers.slug_id(LEDGER, "account", "other")


def id_of(name: str) -> str:
    """Id of an entity that a test calls so."""
    return identifiers.slug_id(LEDGER, "entity", name)


def digest_of(secret: str) -> str:
    return PEPPER.digest("ledger.token", secret.encode()).hex()


ENTITLEMENT = id_of("export")
TOKEN = id_of("token")
SUBJECTS: dict[type[CatalogData], str] = {
    AccountCreated: ACCOUNT,
    ProductCreated: PRODUCT,
    PolicyCreated: POLICY,
    EntitlementCreated: ENTITLEMENT,
    TokenCreated: TOKEN,
    RulesActivated: RULES_ID,
    RecordDiscarded: id_of("discard"),
}
TERMS = Terms(max_machines=3, duration_s=86_400)


def ordered(
    data: CatalogData,
    name: str,
    *,
    subject: str | None = None,
    account: str | None = None,
    actor: str = ACTOR,
    content: str | None = None,
    time_ms: int = NOW_MS,
) -> CatalogEvent:
    """Make the event of a request with `name` for its Idempotency-Key."""
    of_the_ledger = isinstance(data, RulesActivated | RecordDiscarded)
    account = account or (RULES_ID if of_the_ledger else ACCOUNT)
    return CatalogEvent(
        id=identifiers.catalog_command_id(PEPPER, account, actor, name),
        source="api",
        account=account,
        subject=subject or SUBJECTS[type(data)],
        time_ms=time_ms,
        actor=actor,
        content_digest=content_of(name if content is None else content),
        data=data,
    )


def account_created(slug: str = "demo", domain: str | None = None) -> CatalogEvent:
    return ordered(AccountCreated(slug=slug, domain=domain), f"account {slug}")


def product_created(code: str | None = None) -> CatalogEvent:
    return ordered(ProductCreated(name="Product", code=code), "product")


def policy_created(terms: Terms = TERMS) -> CatalogEvent:
    return ordered(PolicyCreated(product=PRODUCT, name="Standard", terms=terms), "policy")


def begun() -> list[CatalogEvent]:
    """An account, its product and policy."""
    return [account_created(), product_created(), policy_created()]
