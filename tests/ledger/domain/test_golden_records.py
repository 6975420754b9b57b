"""Golden records: their bytes, their schemas, and that schemas and types are one definition."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ledger.domain.events import RULES_VERSION, TYPES
from ledger.event_log import genesis
from ledger.event_log.codec import UndecodableError, UnknownRulesError, decode, encode
from ledger.event_log.genesis import Genesis
from ledger.sealing import records as data_key_records
from ledger.sealing.data_key import DataKey
from ledger.sealing.key_ring import KeyRing
from tests.ledger.domain.altering import Json, altered
from tests.ledger.domain.given import ACCOUNT, DATA_KEY, DK, LEDGER, LICENSE, PEPPER, SEAL_KEY
from tests.ledger.domain.golden_files import GOLDEN
from tests.ledger.domain.golden_records import folded, identity, other_records, unfolded
from tests.ledger.domain.schemas import SCHEMAS, accepted

RECORDS = {
    path.name.removesuffix(".json"): path.read_bytes().removesuffix(b"\n")
    for path in sorted((GOLDEN / "records").glob("*.json"))
}
EVENTS = [name for name in RECORDS if name.startswith("license.")]
FOLDED = [name for name in EVENTS if json.loads(RECORDS[name])["rules"] <= RULES_VERSION]
UNFOLDED = [name for name in EVENTS if name not in FOLDED]
KEYS = json.loads((GOLDEN / "record-keys.json").read_text())


def _type(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _decodes(record: Json) -> bool:
    """Whether the codec takes it; its own rules beyond the schema are kept by the record."""
    key = record.get("subject", LICENSE)
    try:
        decode(str(key).encode(), json.dumps(record).encode())
    except (UndecodableError, UnknownRulesError):
        return False
    return True


def test_every_type_has_a_schema_and_a_golden_record() -> None:
    schemas = {path.stem for path in SCHEMAS.glob("license.*.json")}
    assert {_type(name) for name in EVENTS} == schemas
    assert {_type(name) for name in FOLDED} == set(TYPES)


def test_the_golden_files_are_what_the_script_would_write() -> None:
    """So that a change of the format is seen, whoever makes it."""
    made = folded() | unfolded() | {name: r.value for name, r in other_records().items()}
    assert made == RECORDS
    assert {name: r.key.decode() for name, r in other_records().items()} == KEYS
    assert identity() == json.loads((GOLDEN / "identity.json").read_text())


@pytest.mark.parametrize("name", FOLDED)
def test_a_golden_record_decodes_and_encodes_to_the_same_bytes(name: str) -> None:
    event = decode(LICENSE.encode(), RECORDS[name])
    assert event.type == _type(name)
    assert encode(event) == RECORDS[name]


@pytest.mark.parametrize("name", EVENTS)
def test_a_golden_record_is_as_its_schema_has_it_and_canonical(name: str) -> None:
    record = json.loads(RECORDS[name])
    assert record["type"] == _type(name)
    assert accepted(_type(name), record)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text.encode() == RECORDS[name]


@pytest.mark.parametrize("name", UNFOLDED)
def test_a_type_that_waits_for_later_rules_stops_a_fold_of_these(name: str) -> None:
    record = json.loads(RECORDS[name])
    assert record["type"] not in TYPES
    with pytest.raises(UnknownRulesError) as stop:
        decode(LICENSE.encode(), RECORDS[name])
    assert stop.value.rules == RULES_VERSION + 1
    assert not accepted(_type(name), record | {"rules": RULES_VERSION})
    with pytest.raises(UndecodableError):
        decode(LICENSE.encode(), json.dumps(record | {"rules": RULES_VERSION}).encode())


@pytest.mark.parametrize("name", EVENTS)
def test_no_schema_takes_a_record_of_another_type(name: str) -> None:
    record = json.loads(RECORDS[name])
    types = {_type(other) for other in EVENTS}
    assert [other for other in sorted(types) if accepted(other, record)] == [_type(name)]


@pytest.mark.parametrize("name", FOLDED)
def test_schema_and_type_refuse_and_take_the_same(name: str) -> None:
    disagree = [
        what
        for what, record in _altered(json.loads(RECORDS[name]))
        if accepted(_type(name), record) != _decodes(record)
    ]
    assert not disagree


@pytest.mark.parametrize("name", EVENTS)
def test_a_missing_an_extra_and_a_wrong_field_are_refused(name: str) -> None:
    record = json.loads(RECORDS[name])
    required = {"specversion", "id", "source", "type", "subject", "time", "rules", "actor"}
    required |= {"contentdigest", "data"}
    refused = [record | {"extra": 1}, record | {"data": record["data"] | {"extra": 1}}]
    refused += [{other: record[other] for other in record if other != field} for field in required]
    refused += [record | {field: []} for field in record]
    refused += [record | {"data": record["data"] | {field: []}} for field in record["data"]]
    assert not any(accepted(_type(name), one) for one in refused)
    assert not any(_decodes(one) for one in refused)


def _altered(record: Json) -> Iterator[tuple[str, Json]]:
    yield from altered(record)
    for attribute, value in _OPTIONAL:
        yield f"{attribute} = {value}", record | {attribute: value}
    for field, value in _FIELDS:
        changed = record["data"] | {field: value}
        yield f"data.{field} = {value!r}"[:80], record | {"data": changed}


_OPTIONAL: list[tuple[str, object]] = [
    ("policyversion", 0),
    ("policyversion", 2**53 - 1),
    ("policyversion", 2**53),
    ("policyversion", None),
    ("sequence", -1),
    ("sourcedigest", "0" * 32),
    ("sourcedigest", "G" * 32),
    ("occurredat", "2019-11-05T08:00:00.000Z"),
    ("occurredat", "2019-11-05T08:00:00Z"),
    ("occurredat", "2019-11-05T08:00:00.000+00:00"),
    ("occurredat", "2019-11-05T24:00:00.000Z"),
    ("occurredat", "1969-12-31T23:59:59.999Z"),
    ("occurredat", "2019-W45-2T08:00:00.000Z"),
    ("occurredat", "2019-11-05T08:00:00.000Z\n"),
    ("time", "9999-12-31T23:59:59.999Z"),
    ("time", "2019-11-05T08:00:60.000Z"),
    ("subject", LICENSE.upper()),
    ("id", LICENSE + "\n"),
    ("source", "x" * 256),
    ("source", "x" * 257),
    ("rules", 1),
    ("rules", 2),
    ("rules", 2**31 - 1),
    ("datacontenttype", "text/plain"),
    ("specversion", "1"),
]
_FIELDS: list[tuple[str, object]] = [
    ("seats", 2**31 - 1),
    ("name", None),
    ("name", "é" * 512),
    ("name", "é" * 513),
    ("metadata", None),
    ("metadata", "{}"),
    ("metadata", '{\n"a":1}'),
    ("reason", "x" * 512),
    ("kind", "refused"),
    ("cores", 0),
    ("terms", {"max_machines": None}),
    ("terms", {"max_machines": 0}),
    ("terms", {"max_machines": 1, "overage": "NONE"}),
    ("own", {"max_machines": None, "expiry_ms": None}),
    ("own", {"expiry_ms": 253_402_300_800_000}),
    ("own", {"max_uses": 0}),
    ("own", {"max_uses": None}),
    ("own", {"protected": None}),
    ("own", {"protected": True, "max_uses": 2**31}),
    ("terms", {"max_machines": 1, "max_uses": None}),
    ("terms", {"max_machines": 1, "protected": False}),
    ("terms", {"max_machines": 1, "entitlements": {}}),
    ("terms", {"max_machines": 1, "entitlements": {LICENSE: "A b"}}),
    ("terms", {"max_machines": 1, "entitlements": {"x": "A"}}),
    ("terms", {"max_machines": 1, "expiration_strategy": "ALLOW_ACCESS"}),
    ("terms", {"max_machines": 1, "require_check_in": True}),
    ("terms", {"max_machines": 1, "require_check_in": True, "check_in_interval": None}),
    ("terms", {"max_machines": 1, "require_check_in": True, "check_in_interval": "hour"}),
    ("terms", {"max_machines": 1, "require_check_in": True, "check_in_interval": "day"}),
    ("terms", {"max_machines": 1, "check_in_interval_count": 366}),
    ("terms", {"max_machines": 1, "authentication_strategy": "SESSION"}),
    ("policy", LICENSE),
    ("action", "reset"),
    ("by", 2),
    ("code", "VALID\n"),
    ("entitlements", {}),
    ("entitlements", {f"{n:08x}-0000-0000-0000-000000000000": "A" for n in range(101)}),
    ("entitlements", [LICENSE, LICENSE]),
    ("entitlements", [f"{n:08x}-0000-0000-0000-000000000000" for n in range(101)]),
    ("expiry", "KEEP_EXPIRY"),
    ("max_uses", None),
]


def test_the_golden_genesis_says_whose_ledger_it_is() -> None:
    value = RECORDS["ledger.genesis"]
    assert KEYS["ledger.genesis"].encode() == genesis.RECORD_KEY
    assert accepted("ledger.genesis", json.loads(value))
    expected = Genesis(ledger=LEDGER, partition=0, partitions=1, pepper_check=PEPPER.check_value)
    assert genesis.decode(value) == expected
    assert genesis.encode(expected) == value
    genesis.check(expected, pepper_check=PEPPER.check_value, partitions=1)


def test_the_golden_data_key_opens_what_is_sealed_in_the_golden_records() -> None:
    value = RECORDS["license-data-key"]
    key = KEYS["license-data-key"].encode()
    assert data_key_records.read_record_key(key) == (LICENSE, DK)
    assert data_key_records.record_key(LICENSE, DK) == key
    record = data_key_records.decode(value)
    assert data_key_records.encode(record) == value
    assert accepted("license-data-key", json.loads(value))
    ring = KeyRing([("k2", b"o" * 32), ("k1", SEAL_KEY)])
    data_key = ring.unwrap(value, account=ACCOUNT, license_=LICENSE, dk=DK)
    assert data_key.secret == DATA_KEY
    issued = json.loads(RECORDS["license.issued"])["data"]
    activated = json.loads(RECORDS["license.activation-requested.full"])["data"]
    assert data_key.open(ACCOUNT, LICENSE, issued["key"]) == "LIC-GOLDEN"
    opened = {name: data_key.open(ACCOUNT, LICENSE, activated[name]) for name in _SEALED}
    assert opened == _SEALED


_SEALED = {
    "fingerprint": "host-2",
    "name": "Front desk",
    "hostname": "host-2.example",
    "ip": "192.0.2.2",
}


def test_a_value_sealed_today_opens_as_the_golden_ones_do() -> None:
    data_key = DataKey(dk=DK, secret=DATA_KEY)
    sealed = data_key.seal(ACCOUNT, LICENSE, "host-2")
    golden = json.loads(RECORDS["license.activation-requested.full"])["data"]["fingerprint"]
    assert (sealed[:17], len(sealed)) == (golden[:17], len(golden))
    assert data_key.open(ACCOUNT, LICENSE, sealed) == "host-2"
