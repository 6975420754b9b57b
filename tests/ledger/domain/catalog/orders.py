"""Orders in any order and number: as events, and in the naive model's words."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec import UNSET

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    AccountChanged,
    AccountCreated,
    CatalogData,
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
from ledger.domain.terms import Terms
from tests.ledger.domain.catalog.given import OTHER_ACCOUNT, TERMS, digest_of, id_of, ordered
from tests.ledger.domain.catalog.naive_model import Order
from tests.ledger.domain.given import ACCOUNT, LICENSE

Said = tuple[CatalogData, str, Order]
"""An event's data, its subject, and the same in the model's words."""

LIKE_AN_ID = ACCOUNT
accounts = st.sampled_from([ACCOUNT, ACCOUNT, ACCOUNT, OTHER_ACCOUNT])
products = st.sampled_from([id_of("p1"), id_of("p2")])
policies = st.sampled_from([id_of("l1"), id_of("l2"), id_of("p1")])
entitlements = st.sampled_from([id_of("e1"), id_of("e2")])
tokens = st.sampled_from([id_of("t1"), id_of("t2")])
slugs = st.sampled_from(["demo", "other", "third", LIKE_AN_ID])
domains = st.sampled_from(["a.example", "b.example"])
codes = st.sampled_from(["A", "B"])
digests = st.sampled_from([digest_of("1"), digest_of("2")])


def _order(what: str, kind: str, **values: object) -> Order:
    values = {name: value for name, value in values.items() if value is not UNSET}
    if values.get("slug") == LIKE_AN_ID:
        values["slug"] = "like-an-id"
    return {"what": what, "kind": kind, "set": values}


@st.composite
def _of_account(draw: st.DrawFn, account: str) -> Said:
    slug = draw(slugs)
    if draw(st.booleans()):
        domain = draw(st.none() | domains)
        data = AccountCreated(slug=slug, domain=domain)
        return data, account, _order("create", "account", slug=slug, domain=domain)
    new_slug = draw(st.just(UNSET) | st.just(slug))
    new_domain = draw(st.just(UNSET) | st.none() | domains) if new_slug != UNSET else draw(domains)
    changed = AccountChanged(slug=new_slug, domain=new_domain)
    return changed, account, _order("change", "account", slug=new_slug, domain=new_domain)


@st.composite
def _of_product(draw: st.DrawFn) -> Said:
    id_, code = draw(products), draw(st.none() | codes)
    what = draw(st.sampled_from(["create", "create", "change", "delete"]))
    if what == "delete":
        return ProductDeleted(), id_, _order(what, "product")
    if what == "change":
        return ProductChanged(code=code), id_, _order(what, "product", code=code)
    return ProductCreated(name="P", code=code), id_, _order(what, "product", code=code)


@st.composite
def _of_policy(draw: st.DrawFn) -> Said:
    id_, product = draw(policies), draw(products)
    what = draw(st.sampled_from(["create", "create", "change", "attach", "detach", "delete"]))
    if what in {"attach", "detach"}:
        some = draw(st.lists(entitlements, min_size=1, max_size=2, unique=True))
        if what == "detach":
            detached = PolicyEntitlementsDetached(entitlements=some)
            return detached, id_, _order(what, "policy") | {"rights": dict.fromkeys(some)}
        rights = {one: draw(codes) for one in some}
        attached = PolicyEntitlementsAttached(entitlements=rights)
        return attached, id_, _order(what, "policy") | {"rights": rights}
    if what == "delete":
        return PolicyDeleted(), id_, _order(what, "policy")
    if what == "change":
        seats = draw(st.none() | st.integers(0, 3))
        changed = PolicyChanged(terms={"max_machines": seats})
        return changed, id_, _order(what, "policy", seats=seats)
    seats = draw(st.none() | st.integers(1, 3))
    data = PolicyCreated(product=product, name="L", terms=Terms(max_machines=seats))
    return data, id_, _order(what, "policy", seats=seats, product=product, version=0)


@st.composite
def _of_entitlement(draw: st.DrawFn) -> Said:
    id_, code = draw(entitlements), draw(codes)
    what = draw(st.sampled_from(["create", "create", "change", "delete"]))
    if what == "delete":
        return EntitlementDeleted(), id_, _order(what, "entitlement")
    if what == "change":
        return EntitlementChanged(name="E"), id_, _order(what, "entitlement")
    return EntitlementCreated(name="E", code=code), id_, _order(what, "entitlement", code=code)


@st.composite
def _of_token(draw: st.DrawFn, account: str) -> Said:
    id_, digest = draw(tokens), draw(digests)
    what = draw(st.sampled_from(["create", "create", "change", "delete"]))
    if what == "delete":
        return TokenRevoked(), id_, _order(what, "token")
    if what == "change":
        return TokenRegenerated(digest=digest), id_, _order(what, "token", digest=digest)
    order = _order(what, "token", digest=digest)
    role = draw(st.sampled_from(["admin", "product", "activation"]))
    if role == "product":
        bearer = order["bearer_product"] = draw(products)
        return TokenCreated(role="product", bearer=bearer, digest=digest), id_, order
    if role == "activation":
        return TokenCreated(role="activation", bearer=LICENSE, digest=digest), id_, order
    bearer = draw(accounts)
    order["nonsense"] = bearer != account
    return TokenCreated(role="admin", bearer=bearer, digest=digest), id_, order


@st.composite
def _of_the_ledger(draw: st.DrawFn) -> Said:
    if draw(st.booleans()):
        version = draw(st.integers(1, 4))
        return RulesActivated(version=version), RULES_ID, _order("set", "rules", version=version)
    record = draw(st.integers(0, 2))
    id_ = draw(st.sampled_from([id_of("d1"), id_of("d2"), id_of("d3")]))
    data = RecordDiscarded(partition=0, offset=record)
    return data, id_, _order("create", "discard", record=record)


@st.composite
def orders(draw: st.DrawFn) -> tuple[CatalogEvent, Order]:
    """An event, and the order that it is; now and then one that came before, or seems so."""
    account = draw(accounts)
    data, subject, order = draw(
        _of_account(account)
        | _of_product()
        | _of_policy()
        | _of_entitlement()
        | _of_token(account)
        | _of_the_ledger()
    )
    if order["kind"] in {"rules", "discard"}:
        account = RULES_ID
    actor = draw(st.sampled_from(["ann", "ben"]))
    name = draw(st.none() | st.sampled_from(["again-1", "again-2"]))
    command = name or f"own-{draw(st.integers(0, 10**9))}"
    content = draw(st.sampled_from(["same", "other"]))
    return _both((data, subject, order), account, actor, command, content)


def _both(
    said: Said, account: str, actor: str, command: str, content: str = "same"
) -> tuple[CatalogEvent, Order]:
    data, subject, order = said
    event = ordered(data, command, subject=subject, account=account, actor=actor, content=content)
    order |= {"account": account, "id": subject, "actor": actor}
    return event, order | {"command": command, "content": content}


def first_orders() -> list[tuple[CatalogEvent, Order]]:
    """Two accounts, and in the first a product with a policy: something to be in the way."""
    created, policy = AccountCreated, PolicyCreated(product=id_of("p1"), name="L", terms=TERMS)
    of_policy = {"seats": TERMS.max_machines, "product": id_of("p1"), "version": 0}
    said: list[tuple[str, Said]] = [
        (ACCOUNT, (created(slug="demo"), ACCOUNT, _order("create", "account", slug="demo"))),
        (
            OTHER_ACCOUNT,
            (created(slug="other"), OTHER_ACCOUNT, _order("create", "account", slug="other")),
        ),
        (ACCOUNT, (ProductCreated(name="P"), id_of("p1"), _order("create", "product"))),
        (ACCOUNT, (policy, id_of("l1"), _order("create", "policy", **of_policy))),
    ]
    return [_both(one, account, "init", f"first {n}") for n, (account, one) in enumerate(said)]
