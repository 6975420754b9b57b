"""Entries of what became of emergency orders: golden bytes, and schemas that say the same."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from ledger.emergency.entries import (
    ENTRY_TYPES,
    Data,
    Entry,
    OrderOver,
    OrderTaken,
    UndecodableEntryError,
    decode_entry,
    encode_entry,
)
from ledger.emergency.orders import End, sign
from tests.emergency import KEY, start
from tests.ledger.domain.altering import altered
from tests.ledger.domain.given import ACCOUNT, LEDGER, POLICY, PRODUCT
from tests.ledger.domain.golden_files import GOLDEN
from tests.ledger.domain.schemas import SCHEMAS, accepted

TIME_MS: Final = 1_572_944_400_000
_ORDER: Final = start(LEDGER, ACCOUNT, product=PRODUCT, issued_ms=TIME_MS, id_=POLICY)
_END: Final = End(id=PRODUCT, ledger=LEDGER, ends=POLICY, issued_ms=TIME_MS + 1, reason="repaired")
_DATAS: Final[dict[str, Data]] = {
    "incident.order-taken": OrderTaken(
        worker="api-1:4711", key="ops", way="FILE", left_s=3599, order=sign(_ORDER, KEY)
    ),
    "incident.order-over": OrderOver(
        worker="api-1:4711",
        account=ACCOUNT,
        why="ENDED",
        known=1200,
        unknown=3,
        end=sign(_END, KEY),
    ),
}
ENTRIES: Final = {
    name: Entry(id=LEDGER, order=POLICY, time_ms=TIME_MS, data=data)
    for name, data in _DATAS.items()
}
"""What the golden files hold."""


def golden(name: str) -> bytes:
    return (GOLDEN / "incidents" / f"{name}.json").read_bytes().removesuffix(b"\n")


def test_every_type_has_its_schema_and_golden_bytes() -> None:
    assert set(ENTRIES) == set(ENTRY_TYPES)
    assert {path.stem for path in (GOLDEN / "incidents").glob("*.json")} == set(ENTRIES)
    assert {path.stem for path in SCHEMAS.glob("incident.*.json")} == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_has_its_golden_bytes_and_comes_back(name: str) -> None:
    entry = ENTRIES[name]
    assert encode_entry(entry) == golden(name)
    assert decode_entry(entry.order.encode(), golden(name)) == entry
    assert accepted(name, json.loads(golden(name)))


@pytest.mark.parametrize("name", ENTRIES)
def test_schema_and_type_take_and_refuse_the_same(name: str) -> None:
    record: dict[str, Any] = json.loads(golden(name))
    disagree = [what for what, one in altered(record) if accepted(name, one) != _decodes(name, one)]
    assert not disagree


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[" * 5000])
def test_what_is_no_entry_is_told_from_one(value: bytes | None) -> None:
    with pytest.raises(UndecodableEntryError):
        decode_entry(POLICY.encode(), value)


def test_the_key_is_the_order() -> None:
    with pytest.raises(UndecodableEntryError, match="key"):
        decode_entry(LEDGER.encode(), golden("incident.order-taken"))


def _decodes(name: str, record: dict[str, Any]) -> bool:
    try:
        found = decode_entry(str(record.get("subject")).encode(), json.dumps(record).encode())
    except UndecodableEntryError:
        return False
    return isinstance(found.data, ENTRY_TYPES[name])
