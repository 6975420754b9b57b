"""The fold of the catalog: what is stored and an event in, a verdict and what changed out.

docs/format.md ("Catalog") is the written form. Who gets a slug, a code or a digest first is
decided here and nowhere else, in log order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ledger.domain.catalog import verdicts
from ledger.domain.catalog.claims import claims_of
from ledger.domain.catalog.decisions import Change, decide, product_named
from ledger.domain.catalog.entities import AnyEntity, Policy
from ledger.domain.catalog.events import CatalogEvent, PolicyDeleted, PolicyEntitlementsAttached
from ledger.domain.catalog.verdicts import CatalogVerdict
from ledger.domain.memory import forgettable
from ledger.domain.verdicts import Remembered


class CatalogLoaded(Struct, frozen=True, kw_only=True):
    """What an event names, as stored: nothing else is looked at.

    `entities` by id, `claims` with their holders' ids. `commands` is how many the event's scope
    remembers, `oldest` the first of them, at least 8 where there are as many.
    """

    entities: Mapping[str, AnyEntity | None]
    claims: Mapping[str, str | None]
    remembered: CatalogVerdict | None = None
    commands: int = 0
    oldest: Sequence[Remembered] = ()


class CatalogFolded(Struct, frozen=True, kw_only=True):
    """What an event made: entities and claims to write, None removes; commands to forget.

    The verdict is to be remembered, `commands` being how many are then; but where `changed` is
    False nothing at all is to be written.
    """

    verdict: CatalogVerdict
    changed: bool = True
    entities: Mapping[str, AnyEntity | None] = {}
    claims: Mapping[str, str | None] = {}
    commands: int = 0
    forget: tuple[Remembered, ...] = ()


def entities_named(event: CatalogEvent) -> list[str]:
    """Entities that the fold of an event looks at, but for `product_behind`."""
    product = product_named(event)
    named = [event.account, event.subject]
    if isinstance(event.data, PolicyEntitlementsAttached):
        named += event.data.entitlements
    return named if product is None else [*named, product]


def product_behind(event: CatalogEvent, subject: AnyEntity | None) -> str | None:
    """Product that it looks at besides, since the subject tells of it."""
    deleted = isinstance(event.data, PolicyDeleted) and isinstance(subject, Policy)
    return subject.product if deleted and isinstance(subject, Policy) else None


def fold_catalog(
    event: CatalogEvent, offset: int, elapsed_ms: int, loaded: CatalogLoaded
) -> CatalogFolded:
    """Decide `event` on what is stored. Pure; raises nothing for any decoded event.

    `offset`: where the event stands; `elapsed_ms`: the elapsed clock there.
    """
    first = loaded.remembered
    if first is not None:
        same = first.content_digest == event.content_digest
        again = first if same else _verdict(verdicts.IDEMPOTENCY_MISMATCH, event, offset, None)
        return CatalogFolded(verdict=again, changed=False)
    change = decide(event, offset, loaded.entities)
    claims: dict[str, str | None] = {}
    if isinstance(change, Change):
        refusal, claims = _claimed(change, event, loaded.claims)
        change = change if refusal is None else refusal
    forget = forgettable(loaded.commands + 1, elapsed_ms, loaded.oldest)
    commands = loaded.commands + 1 - len(forget)
    if isinstance(change, str):
        verdict = _verdict(change, event, offset, loaded.entities.get(event.subject))
        return CatalogFolded(verdict=verdict, commands=commands, forget=forget)
    return CatalogFolded(
        verdict=_verdict(verdicts.GRANTED, event, offset, change.after),
        entities=_written(event, change),
        claims=claims,
        commands=commands,
        forget=forget,
    )


def _claimed(
    change: Change, event: CatalogEvent, holders: Mapping[str, str | None]
) -> tuple[str | None, dict[str, str | None]]:
    """Refusal where another holds what is claimed; else the claims given up and taken."""
    before, after = claims_of(change.before), claims_of(change.after)
    claims: dict[str, str | None] = {name: None for name in before if name not in after}
    for name, refusal in after.items():
        if name in before:
            continue
        if holders[name] is not None:
            return refusal, {}
        claims[name] = event.subject
    return None, claims


def _written(event: CatalogEvent, change: Change) -> dict[str, AnyEntity | None]:
    written = {event.subject: change.after}
    if change.product is not None:
        written[change.product.id] = change.product
    return written


def _verdict(
    code: str, event: CatalogEvent, offset: int, entity: AnyEntity | None
) -> CatalogVerdict:
    own = isinstance(entity, Policy) and entity.account == event.account
    return CatalogVerdict(
        code=code,
        offset=offset,
        time_ms=event.time_ms,
        content_digest=event.content_digest,
        entity=event.subject,
        version=entity.version if own and isinstance(entity, Policy) else None,
    )
