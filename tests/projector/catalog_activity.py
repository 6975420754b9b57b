"""Seeded activity of a catalog: the same seed gives the same events, bytes and order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    AccountChanged,
    AccountCreated,
    CatalogData,
    CatalogEvent,
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
from tests.activity import START_MS, Appendable, Record, records
from tests.ledger.domain.catalog.given import OTHER_ACCOUNT, TERMS, digest_of, id_of, ordered
from tests.ledger.domain.given import ACCOUNT


def catalog_events(seed: int, count: int) -> Iterator[CatalogEvent]:
    """Orders of a few actors, most with a chance to be granted; now and then one again."""
    pick = Random(seed)
    sent: list[CatalogEvent] = []
    for number in range(count):
        if sent and pick.random() < 0.08:
            yield pick.choice(sent)
            continue
        data, subject = _order(pick)
        account = pick.choice((ACCOUNT, ACCOUNT, ACCOUNT, OTHER_ACCOUNT))
        if isinstance(data, RulesActivated | RecordDiscarded):
            account = RULES_ID
        elif isinstance(data, AccountCreated | AccountChanged):
            subject = account
        event = ordered(
            data,
            f"{seed} {number}",
            subject=subject,
            account=account,
            actor=pick.choice(("ann", "ben")),
            time_ms=START_MS + number,
        )
        sent.append(event)
        yield event


def _order(pick: Random) -> tuple[CatalogData, str]:
    some = pick.randrange(6)
    code = pick.choice((None, "A", "B", "C"))
    product, policy = id_of(f"product {some}"), id_of(f"policy {pick.randrange(9)}")
    entitlement, token = id_of(f"right {some}"), id_of(f"token {some}")
    digest = digest_of(str(pick.randrange(9)))
    known: Sequence[tuple[int, CatalogData, str]] = (
        (3, AccountCreated(slug=pick.choice(("demo", "other"))), ""),
        (2, AccountChanged(domain=pick.choice((None, "a.example", "b.example"))), ""),
        (6, ProductCreated(name="Product", code=code), product),
        (2, ProductChanged(code=code), product),
        (3, ProductDeleted(), product),
        (7, PolicyCreated(product=product, name="Policy", terms=TERMS), policy),
        (4, PolicyChanged(terms={"max_machines": pick.randrange(4)}), policy),
        (4, PolicyDeleted(), policy),
        (3, PolicyEntitlementsAttached(entitlements={entitlement: code or "D"}), policy),
        (2, PolicyEntitlementsDetached(entitlements=[entitlement]), policy),
        (3, EntitlementCreated(name="Right", code=code or "D"), entitlement),
        (2, EntitlementDeleted(), entitlement),
        (4, TokenCreated(role="product", bearer=product, digest=digest), token),
        (2, TokenRegenerated(digest=digest), token),
        (2, TokenRevoked(), token),
        (1, RulesActivated(version=1 + some), RULES_ID),
        (1, RecordDiscarded(partition=0, offset=some), id_of(f"discard {pick.randrange(99)}")),
    )
    [(_, data, subject)] = pick.choices(known, [weight for weight, _, _ in known])
    return data, subject


def appendables(events: Iterator[CatalogEvent]) -> list[Appendable]:
    """The events as records to append."""
    return [
        Appendable(partition=0, key=event.account.encode(), value=encode_catalog(event))
        for event in events
    ]


def catalog_log(seed: int, count: int) -> list[Record]:
    """A log in memory, with a genesis record, and timestamps that jump."""
    return records(appendables(catalog_events(seed, count)), seed=seed)[0]
