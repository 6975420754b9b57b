"""The catalog's first events: account, product and policy of the settings, and the rules.

A ledger begins with one of each, so that licenses can be issued at once. Their ids are functions of
the ledger and the slugs, which ledgers without a catalog used: it adopts them.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Final

import msgspec

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    CATALOG_TYPE_NAMES,
    AccountCreated,
    CatalogData,
    CatalogEvent,
    PolicyCreated,
    ProductCreated,
    RulesActivated,
)
from ledger.domain.events import RULES_VERSION
from ledger.domain.identifiers import catalog_command_id, content_digest, is_id, slug_id
from ledger.event_log import genesis
from ledger.event_log.catalog_codec import decode_catalog, encode_catalog
from ledger.event_log.codec import UndecodableError, UnknownRulesError
from ledger.event_log.port import EventLog, Topic
from ledger.settings import Settings, SettingsError

ACTOR: Final = "init"

_encoder: Final = msgspec.json.Encoder(order="sorted")


async def seed_catalog(log: EventLog, settings: Settings, ledger_id: str) -> None:
    """Append what is missing of the catalog's first events; changes nothing once they are there.

    Safe to run again and twice at once: the command ids are always the same. A ledger whose catalog
    began otherwise is left alone. Raises `SettingsError` where the settings name no possible
    account, and what reading and appending raise.
    """
    new = not await genesis.has_events(log, Topic.LICENSE_EVENTS)
    seeds = seed_events(settings, ledger_id, new=new, time_ms=time.time_ns() // 1_000_000)
    present = await _first_commands(log, len(seeds))
    if present != [event.id for event in seeds[: len(present)]]:
        return
    for event in seeds[len(present) :]:
        await log.append(
            Topic.CATALOG_EVENTS, 0, key=event.account.encode(), value=encode_catalog(event)
        )


def seed_events(
    settings: Settings, ledger_id: str, *, new: bool, time_ms: int
) -> list[CatalogEvent]:
    """The first events, in order; a `new` ledger begins with the newest rules known here.

    Another one goes on with the rules that it has, until somebody activates later ones.
    """
    of = settings.catalog
    account = slug_id(ledger_id, "account", of.account)
    product = slug_id(ledger_id, "product", of.product)
    policy = slug_id(ledger_id, "policy", of.policy)
    said: list[tuple[str, str, CatalogData]] = [
        (account, account, AccountCreated(slug=of.account, name=of.account)),
        (account, product, ProductCreated(name=of.product)),
        (account, policy, PolicyCreated(product=product, name=of.policy, terms=of.terms)),
    ]
    if new:
        said.append((RULES_ID, RULES_ID, RulesActivated(version=RULES_VERSION)))
    events = [_event(settings, *one, time_ms) for one in said]
    _check(events, settings)
    return events


def _event(
    settings: Settings, account: str, subject: str, data: CatalogData, time_ms: int
) -> CatalogEvent:
    type_ = CATALOG_TYPE_NAMES[type(data)]
    content = b"%b %b %b" % (type_.encode(), subject.encode(), _encoder.encode(data))
    return CatalogEvent(
        id=catalog_command_id(settings.pepper, account, ACTOR, type_),
        source=ACTOR,
        account=account,
        subject=subject,
        time_ms=time_ms,
        actor=ACTOR,
        content_digest=content_digest(settings.pepper, content),
        data=data,
    )


def _check(events: list[CatalogEvent], settings: Settings) -> None:
    """See that none of them is poison, or would be refused."""
    try:
        for event in events:
            encode_catalog(event)
    except UndecodableError as error:
        raise SettingsError(
            "LEDGER_ACCOUNT is a slug (1 to 63 of a-z, 0-9 and - inside), LEDGER_PRODUCT and "
            f"LEDGER_POLICY are names (up to 512 characters): {error}"
        ) from None
    if is_id(settings.catalog.account):
        msg = "LEDGER_ACCOUNT is a slug, and never of the form of an id"
        raise SettingsError(msg)


async def _first_commands(log: EventLog, most: int) -> list[str]:
    """Ids of the catalog's first commands, an empty one for what can't be read."""
    found: list[str] = []
    async with aclosing(log.read(Topic.CATALOG_EVENTS, 0, start=0)) as batches:
        async for batch in batches:
            for record in batch:
                if record.key == genesis.RECORD_KEY:
                    continue
                try:
                    found.append(decode_catalog(record.key, record.value).id)
                except (UndecodableError, UnknownRulesError):
                    found.append("")
                if len(found) == most:
                    return found
    return found
