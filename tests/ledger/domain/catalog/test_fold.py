"""The catalog's verdicts, each by an example; what memory forgets."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from ledger.domain.catalog import verdicts
from ledger.domain.catalog.entities import RULES_ID, Account, Policy, Product, Rules, Token
from ledger.domain.catalog.events import (
    AccountChanged,
    AccountCreated,
    CatalogData,
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
    TermValue,
    TokenCreated,
    TokenRegenerated,
    TokenRevoked,
)
from ledger.domain.catalog.verdicts import scope_of
from ledger.domain.memory import FORGOTTEN_MAX, MEMORY_COMMANDS, MEMORY_MS
from ledger.domain.terms import Terms
from tests.ledger.domain.catalog.given import (
    OTHER_ACCOUNT,
    TERMS,
    TOKEN,
    begun,
    digest_of,
    id_of,
    ordered,
)
from tests.ledger.domain.catalog.replica import CatalogReplica
from tests.ledger.domain.document import tables_of
from tests.ledger.domain.given import ACCOUNT, ACTOR, LICENSE, NOW_MS, POLICY, PRODUCT

CODES = {
    value for name, value in vars(verdicts).items() if name.isupper() and isinstance(value, str)
}


@pytest.fixture
def replica() -> CatalogReplica:
    """An account with a product and a policy."""
    made = CatalogReplica()
    assert made.take_all(*begun()) == ["granted"] * 3
    return made


def test_what_was_created_is_there(replica: CatalogReplica) -> None:
    account, product, policy = (replica.entity(id_) for id_ in (ACCOUNT, PRODUCT, POLICY))
    assert account == Account(
        id=ACCOUNT, account=ACCOUNT, created_ms=NOW_MS, changed_ms=NOW_MS, offset=0, slug="demo"
    )
    assert isinstance(product, Product)
    assert (product.offset, product.policies) == (1, 1)
    assert isinstance(policy, Policy)
    assert (policy.product, policy.version, policy.terms) == (PRODUCT, 0, TERMS)


def test_a_change_names_what_it_changes_and_null_clears(replica: CatalogReplica) -> None:
    changed = AccountChanged(name="Demo", domain="demo.example")
    assert replica.take(ordered(changed, "1", subject=ACCOUNT)).granted
    later = ordered(AccountChanged(domain=None), "2", subject=ACCOUNT, time_ms=NOW_MS + 5)
    assert replica.take(later).granted
    account = replica.entity(ACCOUNT)
    assert isinstance(account, Account)
    assert (account.slug, account.name, account.domain) == ("demo", "Demo", None)
    assert (account.created_ms, account.changed_ms) == (NOW_MS, NOW_MS + 5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"max_machines": 5}, Terms(max_machines=5, duration_s=86_400)),
        ({"max_machines": None}, Terms(max_machines=None, duration_s=86_400)),
        ({"duration_s": None, "strict": True}, Terms(max_machines=3, strict=True)),
        ({"overage": None}, TERMS),
        ({"max_machines": 0}, None),
        ({"max_machines": True}, None),
        ({"overage": "NONE"}, None),
        ({"require_check_in": True}, None),
        ({"max_uses": 5}, Terms(max_machines=3, duration_s=86_400, max_uses=5)),
        ({"entitlements": None}, None),
        ({"unheard_of": 1}, None),
        ({"unheard_of": None}, None),
    ],
    ids=str,
)
def test_terms_are_merged_and_looked_at_whole(
    replica: CatalogReplica, change: dict[str, TermValue], expected: Terms | None
) -> None:
    verdict = replica.take(ordered(PolicyChanged(terms=change), "change", subject=POLICY))
    policy = replica.entity(POLICY)
    assert isinstance(policy, Policy)
    granted = expected is not None
    assert verdict.code == ("granted" if granted else "invalid")
    assert policy.terms == (expected or TERMS)
    assert policy.version == verdict.version == int(granted)


def test_a_policys_version_counts_changes_of_terms_only(replica: CatalogReplica) -> None:
    named = replica.take(ordered(PolicyChanged(name="Trial"), "name", subject=POLICY))
    termed = replica.take(ordered(PolicyChanged(terms={"strict": True}), "t", subject=POLICY))
    again = replica.take(ordered(PolicyChanged(terms={"strict": True}), "t2", subject=POLICY))
    assert [named.version, termed.version, again.version] == [0, 1, 2]


def test_entitlements_are_attached_and_detached_all_or_none(replica: CatalogReplica) -> None:
    def rights(name: str, data: CatalogData) -> tuple[str, int | None]:
        verdict = replica.take(ordered(data, name, subject=POLICY))
        return verdict.code, verdict.version

    first, second, many = id_of("e1"), id_of("e2"), [id_of(f"many {n}") for n in range(100)]
    for id_, code in [(first, "A"), (second, "B"), *((id_, id_[:8]) for id_ in many)]:
        entitlement = EntitlementCreated(name="E", code=code)
        assert replica.take(ordered(entitlement, f"create {id_}", subject=id_)).granted
    attached, detached = PolicyEntitlementsAttached, PolicyEntitlementsDetached
    stranger = {first: "A", id_of("nobody"): "N"}
    assert rights("1", attached(entitlements=stranger)) == ("not-found", 0)
    assert rights("2", attached(entitlements={first: "B"})) == ("invalid", 0)
    assert rights("3", attached(entitlements={first: "A"})) == ("granted", 1)
    assert rights("4", attached(entitlements={second: "B", first: "A"})) == ("entitlement-taken", 1)
    all_ = {id_: id_[:8] for id_ in many}
    assert rights("5", attached(entitlements=all_)) == ("entitlements-exceeded", 1)
    assert rights("6", detached(entitlements=[first, second])) == ("no-entitlement", 1)
    policy = replica.entity(POLICY)
    assert isinstance(policy, Policy)
    assert policy.terms.entitlements == {first: "A"}
    assert rights("7", detached(entitlements=[first])) == ("granted", 2)


@pytest.mark.parametrize(
    "data",
    [
        ProductChanged(name="Stolen"),
        ProductDeleted(),
        AccountChanged(name="Stolen"),
        PolicyChanged(name="Stolen"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_what_is_anothers_or_of_another_kind_is_not_found(
    replica: CatalogReplica, data: CatalogData
) -> None:
    there = replica.entity(PRODUCT), replica.entity(POLICY), replica.entity(ACCOUNT)
    other = ordered(AccountCreated(slug="other"), "o", subject=OTHER_ACCOUNT, account=OTHER_ACCOUNT)
    assert replica.take(other).granted
    for subject in (PRODUCT, POLICY, ACCOUNT):
        stranger = ordered(data, f"by another {subject}", subject=subject, account=OTHER_ACCOUNT)
        assert replica.take(stranger).code == "not-found"
    assert there == (replica.entity(PRODUCT), replica.entity(POLICY), replica.entity(ACCOUNT))


def test_nothing_begins_in_an_account_or_under_a_product_that_is_not_there() -> None:
    replica = CatalogReplica()
    product = ProductCreated(name="P")
    assert replica.take(ordered(product, "no account")).code == "not-found"
    assert replica.take(begun()[0]).granted
    policy = PolicyCreated(product=PRODUCT, name="L", terms=TERMS)
    assert replica.take(ordered(policy, "no product")).code == "not-found"
    token = TokenCreated(role="product", bearer=PRODUCT, digest=digest_of("1"))
    assert replica.take(ordered(token, "no bearer")).code == "not-found"
    assert replica.take(ordered(product, "product")).granted
    assert replica.take(ordered(policy, "policy")).granted
    assert replica.take(ordered(token, "bearer")).granted


def test_what_is_unique_is_taken_until_it_is_given_up(replica: CatalogReplica) -> None:
    def claim(name: str, id_: str, data: CatalogData, account: str = ACCOUNT) -> str:
        return replica.take(ordered(data, name, subject=id_, account=account)).code

    other = OTHER_ACCOUNT
    taken = AccountCreated(slug="demo", domain="demo.example")
    assert claim("slug", other, taken, other) == "slug-taken"
    assert claim("move", ACCOUNT, AccountChanged(slug="d2", domain="demo.example")) == "granted"
    assert claim("domain", other, taken, other) == "domain-taken"
    assert claim("clear", ACCOUNT, AccountChanged(domain=None)) == "granted"
    assert claim("both", other, taken, other) == "granted"
    assert claim("id", other, AccountCreated(slug="d3"), other) == "id-taken"

    cad = ProductCreated(name="CAD", code="CAD")
    assert claim("p1", id_of("p1"), cad) == "granted"
    assert claim("p2", id_of("p2"), cad) == "code-taken"
    assert claim("keep", id_of("p1"), ProductChanged(code="CAD", name="C")) == "granted"
    assert claim("another account", id_of("p2"), cad, other) == "granted"
    assert claim("another kind", id_of("e"), EntitlementCreated(name="C", code="CAD")) == "granted"
    assert claim("e2", id_of("e2"), EntitlementCreated(name="C", code="CAD")) == "code-taken"
    assert claim("free", id_of("e"), EntitlementDeleted()) == "granted"
    assert claim("e3", id_of("e2"), EntitlementCreated(name="C", code="CAD")) == "granted"

    token = TokenCreated(role="activation", bearer=LICENSE, digest=digest_of("1"))
    assert claim("t1", TOKEN, token) == "granted"
    assert claim("t2", id_of("t2"), token, other) == "digest-taken"
    assert claim("anew", TOKEN, TokenRegenerated(digest=digest_of("2"))) == "granted"
    assert claim("t3", id_of("t2"), token, other) == "granted"
    assert claim("revoke", TOKEN, TokenRevoked()) == "granted"
    assert claim("gone", TOKEN, TokenRevoked()) == "not-found"

    record = RecordDiscarded(partition=3, offset=7)
    assert claim("discard", id_of("d"), record, RULES_ID) == "granted"
    assert claim("discard again", id_of("d2"), record, RULES_ID) == "already-discarded"


def test_a_product_with_policies_is_in_use(replica: CatalogReplica) -> None:
    delete = [ordered(ProductDeleted(), f"delete {n}", subject=PRODUCT) for n in range(3)]
    assert replica.take(delete[0]).code == "in-use"
    assert replica.take(ordered(PolicyDeleted(), "delete policy", subject=POLICY)).granted
    assert replica.take(delete[1]).granted
    assert replica.take(delete[2]).code == "not-found"
    assert replica.take(delete[0]).code == "in-use", "the first verdict again"
    assert replica.entity(PRODUCT) is None


def test_a_slug_is_never_like_an_id(replica: CatalogReplica) -> None:
    created = ordered(AccountCreated(slug=POLICY), "new", subject=id_of("a"), account=id_of("a"))
    assert replica.take(created).code == "invalid"
    changed = ordered(AccountChanged(slug=POLICY), "change", subject=ACCOUNT)
    assert replica.take(changed).code == "invalid"


def test_an_admins_token_speaks_for_its_own_account(replica: CatalogReplica) -> None:
    token = TokenCreated(role="admin", bearer=OTHER_ACCOUNT, digest=digest_of("1"))
    assert replica.take(ordered(token, "another's")).code == "invalid"
    assert replica.take(ordered(replace(token, bearer=ACCOUNT), "own")).granted


def test_a_regenerated_token_keeps_its_expiry_unless_told(replica: CatalogReplica) -> None:
    token = TokenCreated(role="admin", bearer=ACCOUNT, digest=digest_of("1"), expiry_ms=5)
    replica.take(ordered(token, "token"))
    found = []
    for number, data in enumerate(
        [
            TokenRegenerated(digest=digest_of("2")),
            TokenRegenerated(digest=digest_of("3"), expiry_ms=6),
            TokenRegenerated(digest=digest_of("4"), expiry_ms=None),
        ]
    ):
        assert replica.take(ordered(data, f"anew {number}", subject=TOKEN)).granted
        entity = replica.entity(TOKEN)
        assert isinstance(entity, Token)
        found.append(entity.expiry_ms)
    assert found == [5, 6, None]


def test_rules_only_rise() -> None:
    replica = CatalogReplica()
    codes = [
        replica.take(ordered(RulesActivated(version=version), f"rules {number}")).code
        for number, version in enumerate([1, 2, 2, 4, 3])
    ]
    assert codes == ["stale", "granted", "stale", "granted", "stale"]
    rules = replica.entity(RULES_ID)
    assert isinstance(rules, Rules)
    assert (rules.version, rules.account, rules.offset) == (4, RULES_ID, 1)


def test_another_content_under_the_same_key_is_a_mismatch(replica: CatalogReplica) -> None:
    other = replace(begun()[1], content_digest="0" * 32)
    before = replica.state()
    assert replica.take(other).code == "idempotency-mismatch"
    assert replica.state() == before


def test_another_actor_or_account_has_a_memory_of_its_own() -> None:
    scopes = {scope_of(a, b) for a in (ACCOUNT, OTHER_ACCOUNT) for b in ("ann", "ben")}
    assert len(scopes) == 4


def test_commands_are_forgotten_as_those_of_a_license() -> None:
    replica = CatalogReplica()
    scope = scope_of(ACCOUNT, ACTOR)
    for number in range(MEMORY_COMMANDS + 20):
        replica.take(ordered(ProductDeleted(), f"old {number}", subject=PRODUCT))
    assert len(replica.memory[scope]) == MEMORY_COMMANDS + 20
    replica.elapsed_ms += MEMORY_MS
    replica.take(ordered(ProductDeleted(), "still young", subject=PRODUCT))
    assert len(replica.memory[scope]) == MEMORY_COMMANDS + 21
    replica.elapsed_ms += 1
    replica.take(ordered(ProductDeleted(), "old at last", subject=PRODUCT))
    assert len(replica.memory[scope]) == MEMORY_COMMANDS + 22 - FORGOTTEN_MAX
    for number in range(9):
        replica.take(ordered(ProductDeleted(), f"new {number}", subject=PRODUCT))
    assert len(replica.memory[scope]) == MEMORY_COMMANDS


def test_the_verdicts_of_the_document_are_the_codes() -> None:
    [[_, *rows]] = tables_of("Verdicts of the catalog")
    assert {re.sub("`", "", row[0]) for row in rows} == CODES
