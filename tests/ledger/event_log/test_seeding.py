"""The catalog's first events: once, whatever happens between, and never into another's catalog."""

from __future__ import annotations

import asyncio

import pytest

from ledger.domain.catalog.entities import RULES_ID, Account, Policy, Product, Rules
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.events import RULES_VERSION
from ledger.event_log import genesis
from ledger.event_log.catalog_codec import decode_catalog, encode_catalog
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import AppendUnknown, Topic
from ledger.event_log.seeding import seed_catalog
from ledger.settings import Settings, SettingsError, read_settings
from tests.ledger.domain.catalog.given import account_created
from tests.ledger.domain.catalog.replica import CatalogReplica
from tests.ledger.domain.given import ACCOUNT, LEDGER, POLICY, PRODUCT

NEW = ["account", "product", "policy", "rules"]


def _settings(**more: str) -> Settings:
    return read_settings(
        {
            "LEDGER_KAFKA": "127.0.0.1:1",
            "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
            "LEDGER_PEPPER": "70" * 32,
            "LEDGER_SEAL_KEYS": f"k1:{'73' * 32}",
            "LEDGER_LOCAL": "1",
            **more,
        }
    )


@pytest.fixture
async def log() -> MemoryLog:
    made = MemoryLog(2)
    check = _settings().pepper.check_value
    await genesis.initialize(made, pepper_check=check, partitions=2)
    return made


async def _events(log: MemoryLog) -> list[CatalogEvent]:
    return [
        decode_catalog(record.key, record.value)
        async for batch in log.read(Topic.CATALOG_EVENTS, 0, start=1)
        for record in batch
    ]


def _kinds(events: list[CatalogEvent]) -> list[str]:
    return [event.type.removeprefix("catalog.").split("-")[0] for event in events]


async def test_a_new_ledger_has_what_the_settings_name_and_the_newest_rules(
    log: MemoryLog,
) -> None:
    settings = _settings(LEDGER_POLICY_MAX_MACHINES="7")
    await seed_catalog(log, settings, LEDGER)
    replica = CatalogReplica()
    assert replica.take_all(*await _events(log)) == ["granted"] * 4
    account, product = replica.entity(ACCOUNT), replica.entity(PRODUCT)
    policy, rules = replica.entity(POLICY), replica.entity(RULES_ID)
    assert isinstance(account, Account)
    assert account.slug == "demo"
    assert isinstance(product, Product)
    assert product.policies == 1
    assert isinstance(policy, Policy)
    assert (policy.product, policy.version, policy.terms.max_machines) == (PRODUCT, 0, 7)
    assert isinstance(rules, Rules)
    assert rules.version == RULES_VERSION


async def test_again_it_changes_nothing_even_with_other_settings(log: MemoryLog) -> None:
    await seed_catalog(log, _settings(), LEDGER)
    first = await _events(log)
    await log.append(Topic.LICENSE_EVENTS, 0, key=b"somebody", value=b"{}")
    await seed_catalog(log, _settings(), LEDGER)
    await seed_catalog(log, _settings(LEDGER_ACCOUNT="acme"), LEDGER)
    assert await _events(log) == first


@pytest.mark.parametrize("stored", [1, 2, 3])
async def test_what_was_cut_off_is_brought_to_its_end(log: MemoryLog, stored: int) -> None:
    await seed_catalog(log, _settings(), LEDGER)
    whole = await _events(log)
    cut = MemoryLog(2)
    await genesis.initialize(cut, pepper_check=_settings().pepper.check_value, partitions=2)
    for event in whole[:stored]:
        value = encode_catalog(event)
        await cut.append(Topic.CATALOG_EVENTS, 0, key=event.account.encode(), value=value)
    await seed_catalog(cut, _settings(), LEDGER)
    assert [event.id for event in await _events(cut)] == [event.id for event in whole]


async def test_twice_at_once_and_with_a_lost_answer_it_is_as_once(log: MemoryLog) -> None:
    log.lose_acknowledgements = 1
    with pytest.raises(AppendUnknown):
        await seed_catalog(log, _settings(), LEDGER)
    await asyncio.gather(*(seed_catalog(log, _settings(), LEDGER) for _ in range(2)))
    replica = CatalogReplica()
    assert set(replica.take_all(*await _events(log))) == {"granted"}
    assert len(replica.documents) == 4


async def test_a_ledger_in_use_keeps_its_rules(log: MemoryLog) -> None:
    await log.append(Topic.LICENSE_EVENTS, 1, key=b"somebody", value=b"{}")
    await seed_catalog(log, _settings(), LEDGER)
    assert _kinds(await _events(log)) == NEW[:3]
    await seed_catalog(log, _settings(), LEDGER)
    assert _kinds(await _events(log)) == NEW[:3]


async def test_a_catalog_that_began_otherwise_is_left_alone(log: MemoryLog) -> None:
    other = account_created("other")
    value = encode_catalog(other)
    await log.append(Topic.CATALOG_EVENTS, 0, key=other.account.encode(), value=value)
    await seed_catalog(log, _settings(), LEDGER)
    assert await _events(log) == [other]


async def test_another_genesis_at_the_start_is_no_event(log: MemoryLog) -> None:
    for topic in (Topic.LICENSE_EVENTS, Topic.CATALOG_EVENTS):
        await log.append(topic, 0, key=genesis.RECORD_KEY, value=b"{}")
    await seed_catalog(log, _settings(), LEDGER)
    catalog = [r async for b in log.read(Topic.CATALOG_EVENTS, 0, start=2) for r in b]
    assert _kinds([decode_catalog(r.key, r.value) for r in catalog]) == NEW


@pytest.mark.parametrize("slug", ["Acme Corp", "-", "a" * 64, ACCOUNT])
async def test_a_slug_that_no_account_may_have_is_refused_by_name(
    log: MemoryLog, slug: str
) -> None:
    with pytest.raises(SettingsError, match="LEDGER_ACCOUNT is a slug"):
        await seed_catalog(log, _settings(LEDGER_ACCOUNT=slug), LEDGER)
    assert await _events(log) == []
