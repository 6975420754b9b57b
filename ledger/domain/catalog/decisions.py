"""What an event makes of the entities that it names, or why not; pure.

Each decision looks at what is there and gives what is there then, or the code of a refusal. Who
else holds a claim is looked at for all of them alike, in `ledger.domain.catalog.fold`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from msgspec import UNSET, Struct, ValidationError, convert, to_builtins
from msgspec.structs import asdict, fields, replace

from ledger.domain.catalog import verdicts
from ledger.domain.catalog.entities import (
    FIRST_RULES,
    RULES_ID,
    Account,
    AnyEntity,
    Discard,
    Entitlement,
    Policy,
    Product,
    Rules,
    Token,
)
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
    TermValue,
    TokenCreated,
    TokenRegenerated,
    TokenRevoked,
)
from ledger.domain.terms import ENTITLEMENTS_MAX, Terms

T = TypeVar("T", bound=AnyEntity)
Entities = Mapping[str, AnyEntity | None]

KINDS: Final[dict[type[CatalogData], type[AnyEntity]]] = {
    AccountCreated: Account,
    AccountChanged: Account,
    ProductCreated: Product,
    ProductChanged: Product,
    ProductDeleted: Product,
    PolicyCreated: Policy,
    PolicyChanged: Policy,
    PolicyEntitlementsAttached: Policy,
    PolicyEntitlementsDetached: Policy,
    PolicyDeleted: Policy,
    EntitlementCreated: Entitlement,
    EntitlementChanged: Entitlement,
    EntitlementDeleted: Entitlement,
    TokenCreated: Token,
    TokenRegenerated: Token,
    TokenRevoked: Token,
    RulesActivated: Rules,
    RecordDiscarded: Discard,
}
"""What an event's subject is."""

_CREATED: Final = (
    AccountCreated,
    ProductCreated,
    PolicyCreated,
    EntitlementCreated,
    TokenCreated,
    RecordDiscarded,
)
_DELETED: Final = (ProductDeleted, PolicyDeleted, EntitlementDeleted, TokenRevoked)
_ID_FORM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OPTIONAL_TERMS: Final = {field.name for field in fields(Terms) if not field.required}


class Change(Struct, frozen=True, kw_only=True):
    """What is there of the subject before and after, and the product whose policies it changed."""

    before: AnyEntity | None
    after: AnyEntity | None
    product: Product | None = None


def decide(event: CatalogEvent, offset: int, entities: Entities) -> Change | str:
    """Give the change that the event makes, or the code of its refusal."""
    data = event.data
    if isinstance(data, RulesActivated):
        return _activate_rules(data, event, offset, entities)
    if isinstance(data, _CREATED):
        return _create(event, offset, entities)
    before = _own(KINDS[type(data)], event.subject, event, entities)
    if before is None:
        return verdicts.NOT_FOUND
    if isinstance(data, _DELETED):
        return _delete(before, entities)
    if isinstance(before, Policy):
        if isinstance(data, PolicyEntitlementsAttached):
            return _attach(data, before, event, entities)
        if isinstance(data, PolicyEntitlementsDetached):
            return _detach(data, before, event)
    return _change(before, event)


def _own(kind: type[T], id_: str, event: CatalogEvent, entities: Entities) -> T | None:
    """Entity of that kind and id in the event's account: nobody touches another's."""
    found = entities.get(id_)
    return found if isinstance(found, kind) and found.account == event.account else None


def _activate_rules(
    data: RulesActivated, event: CatalogEvent, offset: int, entities: Entities
) -> Change | str:
    before = _own(Rules, event.subject, event, entities)
    if data.version <= (FIRST_RULES if before is None else before.version):
        return verdicts.STALE
    if before is None:
        return Change(before=None, after=Rules(**_begun(event, offset), version=data.version))
    after = replace(before, changed_ms=event.time_ms, version=data.version)
    return Change(before=before, after=after)


def _create(event: CatalogEvent, offset: int, entities: Entities) -> Change | str:
    data = event.data
    refusal = _creation_refusal(event, entities)
    if refusal is not None:
        return refusal
    begun = _begun(event, offset)
    if isinstance(data, RecordDiscarded):
        after: AnyEntity = Discard(**begun, partition=data.partition, record=data.offset)
    else:
        after = KINDS[type(data)](**begun, **asdict(data))
    product = None
    if isinstance(data, PolicyCreated):
        product = _counting(data.product, 1, entities)
    return Change(before=None, after=after, product=product)


def _creation_refusal(event: CatalogEvent, entities: Entities) -> str | None:
    data, account = event.data, event.account
    new_account = isinstance(data, AccountCreated)
    there = new_account or account == RULES_ID or _own(Account, account, event, entities)
    if not there or not _refers_to_what_is_there(event, entities):
        return verdicts.NOT_FOUND
    if entities.get(event.subject) is not None:
        return verdicts.ID_TAKEN
    if isinstance(data, AccountCreated) and _ID_FORM.fullmatch(data.slug):
        return verdicts.INVALID
    if isinstance(data, TokenCreated) and data.role == "admin" and data.bearer != account:
        return verdicts.INVALID
    return None


def _refers_to_what_is_there(event: CatalogEvent, entities: Entities) -> bool:
    """Whether the product that it names is the account's; of licenses the catalog knows nothing."""
    product = product_named(event)
    return product is None or _own(Product, product, event, entities) is not None


def product_named(event: CatalogEvent) -> str | None:
    """Product that an event refers to, beside its subject."""
    data = event.data
    if isinstance(data, PolicyCreated):
        return data.product
    return data.bearer if isinstance(data, TokenCreated) and data.role == "product" else None


def _begun(event: CatalogEvent, offset: int) -> dict[str, Any]:
    return {
        "id": event.subject,
        "account": event.account,
        "created_ms": event.time_ms,
        "changed_ms": event.time_ms,
        "offset": offset,
    }


def _delete(before: AnyEntity, entities: Entities) -> Change | str:
    if isinstance(before, Product) and before.policies:
        return verdicts.IN_USE
    product = None
    if isinstance(before, Policy):
        product = _counting(before.product, -1, entities)
    return Change(before=before, after=None, product=product)


def _attach(
    data: PolicyEntitlementsAttached, before: Policy, event: CatalogEvent, entities: Entities
) -> Change | str:
    known, new = before.terms.entitlements, data.entitlements
    found = [_own(Entitlement, id_, event, entities) for id_ in new]
    codes = [entitlement.code for entitlement in found if entitlement is not None]
    if len(codes) < len(new):
        return verdicts.NOT_FOUND
    if codes != list(new.values()):
        return verdicts.INVALID
    if known.keys() & new.keys():
        return verdicts.ENTITLEMENT_TAKEN
    if len(known) + len(new) > ENTITLEMENTS_MAX:
        return verdicts.ENTITLEMENTS_EXCEEDED
    return _entitled(before, {**known, **new}, event)


def _detach(data: PolicyEntitlementsDetached, before: Policy, event: CatalogEvent) -> Change | str:
    known, gone = before.terms.entitlements, frozenset(data.entitlements)
    if not gone <= known.keys():
        return verdicts.NO_ENTITLEMENT
    return _entitled(before, {id_: code for id_, code in known.items() if id_ not in gone}, event)


def _entitled(before: Policy, entitlements: dict[str, str], event: CatalogEvent) -> Change:
    terms = replace(before.terms, entitlements=entitlements)
    after = replace(before, changed_ms=event.time_ms, terms=terms, version=before.version + 1)
    return Change(before=before, after=after)


def _counting(product: str, step: int, entities: Entities) -> Product:
    # A policy's product can't have gone before it.
    found = cast("Product", entities[product])
    return replace(found, policies=found.policies + step)


def _change(before: AnyEntity, event: CatalogEvent) -> Change | str:
    data = event.data
    named = {name: value for name, value in asdict(data).items() if value is not UNSET}
    if isinstance(data, PolicyChanged) and isinstance(before, Policy) and "terms" in named:
        terms = changed_terms(before.terms, named["terms"])
        if terms is None:
            return verdicts.INVALID
        named |= {"terms": terms, "version": before.version + 1}
    if isinstance(data, AccountChanged) and _ID_FORM.fullmatch(named.get("slug", "")):
        return verdicts.INVALID
    return Change(before=before, after=replace(before, changed_ms=event.time_ms, **named))


def changed_terms(terms: Terms, change: Mapping[str, TermValue]) -> Terms | None:
    """Merge a change into terms; null sets a member to its default. None: no policy has these.

    Entitlements are attached and detached, each looked at; here they can't be changed.
    """
    if "entitlements" in change:
        return None
    merged = to_builtins(terms)
    for name, value in change.items():
        if value is None and name in _OPTIONAL_TERMS:
            merged.pop(name, None)
        else:
            merged[name] = value
    try:
        return convert(merged, Terms)
    except ValidationError:
        return None
