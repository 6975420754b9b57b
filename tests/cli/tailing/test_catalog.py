"""What is told of the catalog's events: all that they say but their secrets, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from msgspec import UNSET

from cli.replica import CatalogRemembered, Replicas
from cli.tailing.catalog import CatalogTeller
from cli.tailing.wording import as_values, in_words, refused
from ledger.domain.catalog import verdicts
from ledger.domain.catalog.events import (
    CATALOG_TYPES,
    AccountChanged,
    CatalogData,
    CatalogEvent,
    EntitlementChanged,
    PolicyChanged,
    PolicyCreated,
    PolicyDeleted,
    PolicyEntitlementsAttached,
    PolicyEntitlementsDetached,
    ProductChanged,
    RecordDiscarded,
    RulesActivated,
    TokenCreated,
    TokenRegenerated,
    TokenRevoked,
)
from ledger.domain.catalog.verdicts import CatalogVerdict
from ledger.domain.events import TYPES
from ledger.domain.terms import Terms
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.port import Record
from projector.read_model.keys import CATALOG

ACCOUNT = "00000000-0000-8000-8000-0000000000a1"
SUBJECT = "00000000-0000-8000-8000-0000000000b1"
LICENSE = "00000000-0000-8000-8000-0000000000c1"
DIGEST = "d1" * 16
AT = 7


class Knowing(Replicas):
    """Replicas that remember one verdict of every command; None: nobody answers."""

    def __init__(self, remembered: CatalogRemembered | None) -> None:
        self.remembers = remembered

    async def catalog_remembered(
        self,
        events: Sequence[tuple[CatalogEvent, int]],
        *,
        limit_s: float,  # noqa: ARG002 - the port's
    ) -> list[CatalogRemembered] | None:
        return None if self.remembers is None else [self.remembers] * len(events)


def event(data: CatalogData) -> CatalogEvent:
    return CatalogEvent(
        id="00000000-0000-8000-8000-000000000002",
        source="api",
        account=ACCOUNT,
        subject=SUBJECT,
        time_ms=1_800_000_000_000,
        actor="token:0",
        content_digest="0" * 32,
        data=data,
    )


def record(data: CatalogData, offset: int = AT) -> Record:
    value = encode_catalog(event(data))
    return Record(
        partition=CATALOG, offset=offset, timestamp_ms=1, key=ACCOUNT.encode(), value=value
    )


def known(code: str, offset: int = AT, digest: str = "0" * 32) -> CatalogRemembered:
    verdict = CatalogVerdict(
        code=code, offset=offset, time_ms=0, content_digest=digest, entity=SUBJECT, version=3
    )
    return CatalogRemembered(folded=True, verdict=verdict, entity=None)


TOKEN = TokenCreated(role="activation", bearer=LICENSE, digest=DIGEST, name="kiosk")


@pytest.mark.parametrize(
    ("data", "said", "values"),
    [
        (AccountChanged(slug="acme"), "changed: slug", {"changed": ["slug"]}),
        (ProductChanged(name="A", url=None), "changed: name, url", {"changed": ["name", "url"]}),
        (EntitlementChanged(metadata=None), "changed: metadata", {"changed": ["metadata"]}),
        (
            PolicyChanged(name="B", terms={"max_machines": 7}),
            "changed: name, max_machines",
            {"changed": ["name", "max_machines"]},
        ),
        (
            PolicyCreated(product=SUBJECT, name="A", terms=Terms(max_machines=1)),
            SUBJECT,
            {"product": SUBJECT},
        ),
        (
            PolicyEntitlementsAttached(entitlements={SUBJECT: "EXPORT"}),
            "attached: EXPORT",
            {"entitlements": {SUBJECT: "EXPORT"}},
        ),
        (
            PolicyEntitlementsDetached(entitlements=[SUBJECT]),
            f"detached: {SUBJECT}",
            {"entitlements": [SUBJECT]},
        ),
        (TOKEN, f"for license {LICENSE}", {"role": "activation", "bearer": LICENSE}),
        (
            TokenCreated(role="admin", bearer=ACCOUNT, digest=DIGEST, expiry_ms=0),
            "for the account, until 1970-01-01",
            {"expiry": "1970-01-01T00:00:00.000Z"},
        ),
        (TokenRegenerated(digest=DIGEST, expiry_ms=UNSET), "a new secret", {}),
        (TokenRevoked(), "", {}),
        (PolicyDeleted(), "", {}),
        (RulesActivated(version=2), "rules 2", {"rules": 2}),
        (
            RecordDiscarded(partition=3, offset=9),
            "partition 3, offset 9",
            {"discarded": {"partition": 3, "offset": 9}},
        ),
    ],
)
def test_what_an_event_says(data: CatalogData, said: str, values: dict[str, object]) -> None:
    words, found = in_words(data), as_values(data)
    assert said in words
    assert found | values == found
    assert DIGEST not in words + json.dumps(found)


def test_every_refusal_has_words() -> None:
    codes = {one for name, one in vars(verdicts).items() if name.isupper() and name[0] != "_"}
    assert [one for one in codes - {verdicts.GRANTED} if refused(one) == one] == []


@pytest.mark.parametrize(
    ("remembered", "code", "why"),
    [
        (known("granted"), "granted", "changed: name; version 3 now"),
        (known("granted", AT - 1), "granted", "the same command as at offset 6"),
        (known("granted", AT - 1, "1" * 32), "idempotency-mismatch", "another request"),
        (known("not-found"), "not-found", "no such thing"),
        (known("granted", AT + 1), None, "changed: name"),
        (CatalogRemembered(folded=False, verdict=None, entity=None), None, "changed: name"),
        (None, None, "changed: name"),
    ],
)
async def test_a_verdict_is_told_where_it_is_of_this_event(
    remembered: CatalogRemembered | None, code: str | None, why: str
) -> None:
    [told] = await CatalogTeller(Knowing(remembered)).tell([record(PolicyChanged(name="B"))])
    assert (told.verdict, told.granted) == (code, code == "granted")
    assert why in told.why
    assert (told.subject, told.account, told.name) == (SUBJECT, ACCOUNT, "B")
    assert told.document["topic"] == "catalog-events"


async def test_a_tokens_license_is_known_when_it_is_gone_and_its_digest_is_told_nowhere() -> None:
    records = [record(TOKEN), record(TokenRegenerated(digest=DIGEST)), record(TokenRevoked(), 9)]
    told = await CatalogTeller(Knowing(None)).tell(records)
    assert [(one.license, one.name) for one in told] == [(LICENSE, "kiosk")] * 3
    assert DIGEST not in json.dumps([one.document for one in told])


async def test_poison_and_later_rules_are_told_and_genesis_is_not() -> None:
    good = record(TokenRevoked())
    later = (good.value or b"").replace(b'"rules":1', b'"rules":9')
    values = [(b"genesis", b"{}"), (ACCOUNT.encode(), b"{"), (ACCOUNT.encode(), later)]
    records = [
        Record(partition=CATALOG, offset=at, timestamp_ms=1, key=key, value=value)
        for at, (key, value) in enumerate(values)
    ]
    told = await CatalogTeller(Knowing(None)).tell(records)
    assert ["can't be decoded" in told[0].why, "rules version 9" in told[1].why] == [True, True]
    assert [one.type for one in told] == [None, None]


def test_every_type_is_one_word_of_the_filter() -> None:
    names = [name.partition(".")[2] for name in (*TYPES, *CATALOG_TYPES)]
    assert len(names) == len(set(names))
