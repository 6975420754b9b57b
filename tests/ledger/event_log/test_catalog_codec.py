"""The catalog's codec: what is no event is poison, named by place only; what is later stops."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    AccountChanged,
    CatalogEvent,
    EntitlementChanged,
    PolicyChanged,
    ProductChanged,
    RulesActivated,
)
from ledger.domain.events import EVENT_BYTES_MAX
from ledger.event_log.catalog_codec import decode_catalog, encode_catalog
from ledger.event_log.codec import EventTooLargeError, UndecodableError, UnknownRulesError
from tests.ledger.domain.catalog.given import ordered, policy_created, product_created
from tests.ledger.domain.given import ACCOUNT, POLICY
from tests.ledger.domain.golden_files import CATALOG_GOLDEN

KEY = ACCOUNT.encode()
GOLDENS = [path.read_bytes()[:-1] for path in sorted(CATALOG_GOLDEN.glob("*.json"))]
EVENT = encode_catalog(policy_created())
CANARY = "Canary-51 O'Hara"
QUICK = settings(max_examples=300, deadline=None, derandomize=True)


def _decoded(key: bytes | None, value: bytes | None) -> CatalogEvent | Exception:
    """An event, or one of the two errors; any other passes through and fails the test."""
    try:
        return decode_catalog(key, value)
    except (UndecodableError, UnknownRulesError) as error:
        return error


def _altered(**attributes: object) -> bytes:
    record: dict[str, Any] = json.loads(EVENT)
    return json.dumps(record | attributes).encode()


@given(st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=300))
@QUICK
def test_arbitrary_bytes_are_poison_and_nothing_worse(
    key: bytes | None, value: bytes | None
) -> None:
    assert isinstance(_decoded(key, value), UndecodableError)


@given(st.sampled_from(GOLDENS), st.data())
@QUICK
def test_damaged_records_are_events_or_one_of_two_errors(
    golden: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(golden)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        length = data.draw(st.integers(0, 12))
        damaged[at : at + length] = data.draw(st.binary(max_size=12))
    _decoded(json.loads(golden)["account"].encode(), bytes(damaged))


@given(st.sampled_from(GOLDENS), st.data())
@QUICK
def test_no_error_has_a_value_or_a_name_of_the_record(golden: bytes, data: st.DataObject) -> None:
    record = json.loads(golden)
    key = record["account"].encode()
    inner = record["data"] if data.draw(st.booleans()) else record
    shapes: list[object] = [CANARY, [CANARY], {CANARY: CANARY}, f"x - at `$.{CANARY}`"]
    name = data.draw(st.sampled_from([*inner, CANARY, "a - at `$.canary", "{}"]))
    inner[name] = data.draw(st.sampled_from(shapes))
    found = _decoded(key, json.dumps(record).encode())
    if isinstance(found, Exception):
        assert "canary" not in f"{found} {found!r} {found.args}".lower()
        assert found.__cause__ is None
        assert found.__suppress_context__ or found.__context__ is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        EVENT + b"x",
        _altered(type="catalog.unheard-of"),
        _altered(type="license.issued"),
        _altered(extra=1),
        _altered(rules=0),
        _altered(time="2019-11-05T08:00:00Z"),
        _altered(time="2019-02-29T08:00:00.000Z"),
        _altered(data={"product": POLICY}),
        _altered(policyversion=1),
        b" " * (EVENT_BYTES_MAX + 1),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_event_of_the_catalog_is_poison(value: bytes | None) -> None:
    assert isinstance(_decoded(KEY, EVENT), CatalogEvent)
    assert isinstance(_decoded(KEY, value), UndecodableError)


def test_the_key_is_the_account() -> None:
    for key in (None, b"", KEY.upper(), KEY + b" ", b"genesis", POLICY.encode()):
        assert isinstance(_decoded(key, EVENT), UndecodableError)


@pytest.mark.parametrize("rules", [2, 2**31 - 1])
def test_later_rules_stop_the_fold_whatever_else_they_bring(rules: int) -> None:
    for value in (_altered(rules=rules), _altered(rules=rules, type="catalog.new", data=[])):
        found = _decoded(KEY, value)
        assert isinstance(found, UnknownRulesError)
        assert found.rules == rules
        assert f"rules version {rules} is unknown here (known: 1)" in str(found)


def test_no_writer_can_append_what_would_stop_the_catalog() -> None:
    event = policy_created()
    product = product_created()
    spoiled = [
        replace(event, id="no id"),
        replace(event, account="no id"),
        replace(event, subject=RULES_ID),
        replace(event, subject=ACCOUNT),
        replace(event, account=RULES_ID),
        replace(event, actor=""),
        replace(product, data=replace(product.data, code="a b")),
        replace(product, data=replace(product.data, metadata="no JSON")),
        replace(ordered(RulesActivated(version=2), "rules"), account=ACCOUNT),
        replace(ordered(RulesActivated(version=2), "rules"), subject=POLICY),
        ordered(AccountChanged(), "nothing", subject=ACCOUNT),
        ordered(ProductChanged(), "nothing", subject=POLICY),
        ordered(PolicyChanged(), "nothing", subject=POLICY),
        ordered(PolicyChanged(terms={}), "no terms", subject=POLICY),
        ordered(EntitlementChanged(), "nothing", subject=POLICY),
    ]
    for one in spoiled:
        with pytest.raises(UndecodableError):
            encode_catalog(one)
    with pytest.raises(UnknownRulesError):
        encode_catalog(replace(event, rules=2))


def test_an_event_has_at_most_64_kib() -> None:
    product = product_created()
    long = replace(product, data=replace(product.data, platforms=["x" * 512] * 127))
    with pytest.raises(EventTooLargeError, match="at most 65536 bytes"):
        encode_catalog(long)
    fits = replace(product, data=replace(product.data, platforms=["x" * 512] * 120))
    assert decode_catalog(KEY, encode_catalog(fits)) == fits
