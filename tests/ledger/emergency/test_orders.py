"""Signed orders: one canonical form, strictly read, good by the right key's signature only."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.emergency import orders
from ledger.emergency.orders import (
    DOCUMENT_BYTES_MAX,
    End,
    Refusal,
    Signed,
    Start,
    UndecodableOrderError,
    decode,
    encode,
    sign,
    signed_bytes,
    signer,
)
from tests.emergency import KEY, KEYS, NAME, OTHER_KEY, start
from tests.ledger.domain.altering import altered
from tests.ledger.domain.given import ACCOUNT, LEDGER, PRODUCT
from tests.ledger.domain.schemas import accepted

ids = st.uuids().map(str)
times = st.integers(0, 253_402_300_799_999)
reasons = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)
starts = st.builds(
    Start,
    id=ids,
    ledger=ids,
    account=ids,
    product=st.none() | ids,
    issued_ms=times,
    duration_s=st.integers(1, 2**31 - 1),
    reason=reasons,
    unknown_keys=st.booleans(),
)
ends = st.builds(End, id=ids, ledger=ids, ends=ids, issued_ms=times, reason=reasons)
ORDER = start(LEDGER, ACCOUNT, product=PRODUCT, issued_ms=1_572_944_400_000, id_=ACCOUNT)


@given(order=starts | ends)
@settings(max_examples=60, deadline=None)
def test_what_was_signed_comes_back_and_is_good(order: Start | End) -> None:
    document = encode(sign(order, KEY))
    assert len(document) <= DOCUMENT_BYTES_MAX
    found = decode(document)
    assert found.order == order
    assert signer(found, KEYS) == NAME
    assert signer(found, {}) is Refusal.KEY_UNKNOWN


@given(order=starts | ends, other=starts | ends)
@settings(max_examples=60, deadline=None)
def test_a_signature_is_good_for_its_order_alone(order: Start | End, other: Start | End) -> None:
    made = sign(order, KEY)
    expected = NAME if order == other else Refusal.SIGNATURE_INVALID
    assert signer(replace(made, order=other), KEYS) == expected


@pytest.mark.parametrize("field", ["id", "ledger", "account", "product"])
def test_no_member_can_be_changed(field: str) -> None:
    changed = replace(ORDER, **{field: LEDGER if getattr(ORDER, field) != LEDGER else ACCOUNT})
    assert signer(replace(sign(ORDER, KEY), order=changed), KEYS) is Refusal.SIGNATURE_INVALID


def test_more_than_was_signed_is_not_granted() -> None:
    for change in ({"unknown_keys": True}, {"duration_s": 3601}, {"product": None}):
        changed = replace(ORDER, **change)
        assert signer(replace(sign(ORDER, KEY), order=changed), KEYS) is Refusal.SIGNATURE_INVALID


def test_another_key_s_signature_under_this_key_s_name_is_refused() -> None:
    forged = replace(sign(ORDER, OTHER_KEY), key=sign(ORDER, KEY).key)
    assert signer(forged, KEYS) is Refusal.SIGNATURE_INVALID
    assert signer(sign(ORDER, OTHER_KEY), KEYS) is Refusal.KEY_UNKNOWN


def test_a_signature_of_the_order_s_json_alone_is_none() -> None:
    """What is signed begins with words that nothing else begins with."""
    naked = KEY.sign(msgspec.json.encode(ORDER, order="sorted")).hex()
    assert signer(replace(sign(ORDER, KEY), signature=naked), KEYS) is Refusal.SIGNATURE_INVALID


def test_the_signed_bytes_are_these() -> None:
    assert signed_bytes(ORDER) == (
        b"license-ledger emergency order 1\n"
        b'{"account":"%b","duration_s":3600,"id":"%b","issued_ms":1572944400000,"kind":"start",'
        b'"ledger":"%b","product":"%b","reason":"a rehearsal","unknown_keys":false}'
        % tuple(each.encode() for each in (ACCOUNT, ACCOUNT, LEDGER, PRODUCT))
    )


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"null", b"[" * 5000, b"\xff", b" " * (DOCUMENT_BYTES_MAX + 1), b'{"a":1}'],
)
def test_what_is_no_signed_order_is_refused(document: bytes) -> None:
    with pytest.raises(UndecodableOrderError):
        decode(document)


def test_schema_and_type_take_and_refuse_the_same() -> None:
    record: dict[str, Any] = json.loads(encode(sign(ORDER, KEY)))
    assert accepted("emergency-order", record)
    ended = End(id=ACCOUNT, ledger=LEDGER, ends=PRODUCT, issued_ms=1, reason="over")
    other: dict[str, Any] = json.loads(encode(sign(ended, KEY)))
    assert accepted("emergency-order", other)
    for one in (record, other):
        disagree = [
            what
            for what, changed in altered(one)
            if accepted("emergency-order", changed) != _decodes(changed)
        ]
        assert not disagree


def _decodes(record: dict[str, Any]) -> bool:
    try:
        return isinstance(decode(json.dumps(record).encode()), Signed)
    except UndecodableOrderError:
        return False


def test_a_document_has_room_for_every_order() -> None:
    longest = replace(ORDER, reason="\U0001f600" * orders.REASON_LENGTH_MAX)
    assert len(encode(sign(longest, KEY))) < DOCUMENT_BYTES_MAX
