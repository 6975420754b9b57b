"""The catalog's golden records: their bytes, their schemas, and that both are one definition."""

from __future__ import annotations

import json

import pytest

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import CATALOG_TYPES
from ledger.event_log.catalog_codec import decode_catalog, encode_catalog
from ledger.event_log.codec import UndecodableError, UnknownRulesError
from tests.ledger.domain.altering import Json, altered
from tests.ledger.domain.catalog.golden_records import golden_events, golden_records
from tests.ledger.domain.golden_files import CATALOG_GOLDEN
from tests.ledger.domain.schemas import SCHEMAS, accepted

RECORDS = {
    path.name.removesuffix(".json"): path.read_bytes().removesuffix(b"\n")
    for path in sorted(CATALOG_GOLDEN.glob("*.json"))
}

_OF_THEMSELVES = ["catalog.account-created", "catalog.account-changed", "catalog.rules-activated"]
_VALUES: list[tuple[str, object]] = [
    ("slug", "a"),
    ("slug", "a-"),
    ("slug", "A"),
    ("slug", "a" * 64),
    ("slug", "demo\n"),
    ("domain", "a.example"),
    ("domain", "a.example\n"),
    ("domain", "a.example:80"),
    ("code", "A-1_b.c"),
    ("code", "a b"),
    ("code", "a\n"),
    ("distribution", "OPEN"),
    ("platforms", [1]),
    ("platforms", ["x" * 513]),
    ("platforms", []),
    ("name", "é" * 512),
    ("name", "é" * 513),
    ("metadata", '{\n"a":1}'),
    ("terms", {"max_machines": None}),
    ("terms", {"max_machines": "3", "unheard_of": False}),
    ("terms", {"max_machines": [3]}),
    ("terms", {"x" * 65: 1}),
    ("terms", {"max_machines": 2**53}),
    ("terms", {"max_machines": 2**53 - 1}),
    ("terms", {"max_machines": 1, "max_uses": 0, "renewal_basis": "FROM_NOW"}),
    ("terms", {"max_machines": 1, "require_check_in": True}),
    ("terms", {"max_machines": 1, "require_check_in": True, "check_in_interval": "day"}),
    ("entitlements", {}),
    ("entitlements", []),
    ("entitlements", {RULES_ID: "A"}),
    ("entitlements", {RULES_ID: "a b"}),
    ("entitlements", {"no id": "A"}),
    ("entitlements", [RULES_ID]),
    ("entitlements", [RULES_ID] * 2),
    ("role", "admin"),
    ("version", 2**31 - 1),
    ("partition", 4095),
    ("partition", 4096),
    ("offset", 2**53 - 1),
    ("offset", 2**53),
]


def _type(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _decodes(record: Json) -> bool:
    try:
        decode_catalog(str(record.get("account")).encode(), json.dumps(record).encode())
    except (UndecodableError, UnknownRulesError):
        return False
    return True


def _own_rules(record: Json) -> bool:
    """Whether subject and account are as they must be, which no schema can say."""
    same = record.get("subject") == record.get("account")
    return same == (record.get("type") in _OF_THEMSELVES)


def test_every_type_has_a_schema_and_a_golden_record() -> None:
    assert {_type(name) for name in RECORDS} == set(CATALOG_TYPES)
    assert {path.stem for path in SCHEMAS.glob("catalog.*.json")} == set(CATALOG_TYPES)


def test_the_golden_files_are_what_the_script_would_write() -> None:
    assert golden_records() == RECORDS


@pytest.mark.parametrize("name", RECORDS)
def test_a_golden_record_decodes_and_encodes_to_the_same_bytes(name: str) -> None:
    record = json.loads(RECORDS[name])
    event = decode_catalog(record["account"].encode(), RECORDS[name])
    assert event == golden_events()[name]
    assert event.type == _type(name) == record["type"]
    assert encode_catalog(event) == RECORDS[name]
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text.encode() == RECORDS[name]


@pytest.mark.parametrize("name", RECORDS)
def test_no_schema_but_its_own_takes_a_record(name: str) -> None:
    record = json.loads(RECORDS[name])
    assert [type_ for type_ in CATALOG_TYPES if accepted(type_, record)] == [_type(name)]


@pytest.mark.parametrize("name", RECORDS)
def test_schema_and_type_refuse_and_take_the_same(name: str) -> None:
    original = json.loads(RECORDS[name])
    records = list(altered(original))
    for field, value in _VALUES:
        changed = original | {"data": original["data"] | {field: value}}
        records.append((f"data.{field} = {value!r}"[:80], changed))
    records += [(name, original | {name: RULES_ID}) for name in ("account", "subject")]
    disagree = [
        what
        for what, record in records
        if _own_rules(record) and accepted(_type(name), record) != _decodes(record)
    ]
    assert not disagree
    assert not [what for what, record in records if not _own_rules(record) and _decodes(record)]
