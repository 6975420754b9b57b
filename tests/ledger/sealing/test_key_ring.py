from __future__ import annotations

import json
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ledger.sealing.data_key import DataKey, SealBrokenError, to_base64url
from ledger.sealing.key_ring import KeyRing, SealKeyLostError
from ledger.sealing.records import (
    DataKeyRecord,
    UndecodableDataKeyError,
    decode,
    encode,
    read_record_key,
    record_key,
)

ACCOUNT = "4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11"
LICENSE = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
DK = "00c0ffee00c0ffee"
SECRET = bytes(range(32))
OLD = ("k1", b"\x11" * 32)
NEW = ("k2", b"\x22" * 32)

ids = st.uuids().map(str)
GOLDEN = (
    b'{"account":"4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11","kid":"k1"'
    b',"sealed":"AAECAwQFBgcICQoLE-K0EH-mM_McsdmUyKL5KdmwEnsBYEQ4sfmlZOFdfTHWkC6PNXGgsK2-M6UvlQWh"}'
)


def wrapped(ring: KeyRing | None = None) -> bytes:
    data_key = DataKey(dk=DK, secret=SECRET)
    return (ring or KeyRing((OLD,))).wrap(data_key, account=ACCOUNT, license_=LICENSE)


@given(account=ids, license_=ids, keys=st.lists(st.binary(min_size=32, max_size=32), min_size=1))
def test_a_wrapped_data_key_unwraps_to_the_same(
    account: str, license_: str, keys: list[bytes]
) -> None:
    ring = KeyRing([(f"k{number}", key) for number, key in enumerate(keys)])
    data_key = DataKey.new()
    value = ring.wrap(data_key, account=account, license_=license_)
    again = ring.unwrap(value, account=account, license_=license_, dk=data_key.dk)
    assert (again.dk, again.secret) == (data_key.dk, data_key.secret)
    assert data_key.secret not in value
    assert data_key.secret.hex().encode() not in value


def test_the_record_is_the_documented_one() -> None:
    value = wrapped()
    record = json.loads(value)
    assert list(record) == ["account", "kid", "sealed"]
    assert (record["account"], record["kid"]) == (ACCOUNT, "k1")
    assert value == json.dumps(record, separators=(",", ":"), sort_keys=True).encode()
    assert record_key(LICENSE, DK) == f"{LICENSE}:{DK}".encode()


def test_a_record_of_long_ago_still_opens() -> None:
    """Golden: this form is in logs, so it never changes."""
    nonce = bytes(range(12))
    associated = UUID(ACCOUNT).bytes + UUID(LICENSE).bytes + bytes.fromhex(DK)
    sealed = to_base64url(nonce + AESGCM(OLD[1]).encrypt(nonce, SECRET, associated))
    assert encode(DataKeyRecord(account=ACCOUNT, kid="k1", sealed=sealed)) == GOLDEN
    opened = KeyRing((NEW, OLD)).unwrap(GOLDEN, account=ACCOUNT, license_=LICENSE, dk=DK)
    assert opened.secret == SECRET


@given(other=ids, dk=st.binary(min_size=8, max_size=8).map(bytes.hex))
def test_another_account_license_or_dk_is_refused(other: str, dk: str) -> None:
    ring, value = KeyRing((OLD,)), wrapped()
    for account, license_, name in (
        (other, LICENSE, DK),
        (ACCOUNT, other, DK),
        (ACCOUNT, LICENSE, dk),
    ):
        with pytest.raises(SealBrokenError):
            ring.unwrap(value, account=account, license_=license_, dk=name)


@given(other=ids)
def test_a_record_that_claims_another_account_is_refused(other: str) -> None:
    value = wrapped().replace(ACCOUNT.encode(), other.encode())
    with pytest.raises(SealBrokenError):
        KeyRing((OLD,)).unwrap(value, account=other, license_=LICENSE, dk=DK)


@given(data=st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    value = bytearray(wrapped())
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] = data.draw(st.integers(0, 255).filter(lambda other: other != value[at]))
    with pytest.raises((SealBrokenError, UndecodableDataKeyError, SealKeyLostError)):
        KeyRing((OLD,)).unwrap(bytes(value), account=ACCOUNT, license_=LICENSE, dk=DK)


def test_a_kid_that_is_not_in_the_ring_is_named_and_nothing_else() -> None:
    with pytest.raises(SealKeyLostError) as caught:
        KeyRing((NEW,)).unwrap(wrapped(), account=ACCOUNT, license_=LICENSE, dk=DK)
    assert caught.value.kid == "k1"
    told = f"{caught.value}{caught.value!r}"
    assert "k1" in told
    for hidden in (OLD[1].hex(), NEW[1].hex(), repr(OLD[1]), SECRET.hex(), "sealed"):
        assert hidden not in told


def test_another_key_under_the_same_kid_is_refused() -> None:
    with pytest.raises(SealBrokenError):
        KeyRing((("k1", NEW[1]),)).unwrap(wrapped(), account=ACCOUNT, license_=LICENSE, dk=DK)


def test_rotation_rewraps_under_the_current_key_and_needs_the_old_one_once_only() -> None:
    value = wrapped()
    rotated = KeyRing((NEW, OLD)).rewrap(value, license_=LICENSE, dk=DK)
    assert decode(rotated).kid == "k2"
    alone = KeyRing((NEW,))
    assert alone.unwrap(rotated, account=ACCOUNT, license_=LICENSE, dk=DK).secret == SECRET
    assert alone.rewrap(rotated, license_=LICENSE, dk=DK) == rotated
    with pytest.raises(SealKeyLostError, match="k1"):
        alone.rewrap(value, license_=LICENSE, dk=DK)


def test_a_new_data_key_is_sealed_under_the_first_of_the_ring() -> None:
    assert decode(wrapped(KeyRing((NEW, OLD)))).kid == "k2"


def test_a_ring_shows_its_kids_only() -> None:
    ring = KeyRing((NEW, OLD))
    assert repr(ring) == str(ring) == "KeyRing(k2, k1)"


@pytest.mark.parametrize(
    "keys",
    [
        (),
        (OLD, ("k1", b"\x33" * 32)),
        (("k1", b"short"),),
        (("k1", b"\x11" * 33),),
        (("", b"\x11" * 32),),
        (("ké", b"\x11" * 32),),
        (("k1\n", b"\x11" * 32),),
        (("k" * 65, b"\x11" * 32),),
    ],
)
def test_no_other_ring_is_taken(keys: tuple[tuple[str, bytes], ...]) -> None:
    with pytest.raises(ValueError, match=r"ring|seal key|kid") as caught:
        KeyRing(keys)
    assert "short" not in str(caught.value)


@given(value=st.binary(max_size=200))
def test_bytes_that_are_no_record_are_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableDataKeyError):
        decode(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b'{"account":"canary","kid":"k1","sealed":"AA"}',
        f'{{"account":"{ACCOUNT}","kid":"canary!","sealed":"AA"}}'.encode(),
        f'{{"account":"{ACCOUNT}","kid":"k1","sealed":"AA","canary":1}}'.encode(),
        f'{{"account":"{ACCOUNT}","kid":"k1","sealed":"{"c" * 129}"}}'.encode(),
        b" " * 1025,
        b'"\xff"',
    ],
)
def test_a_record_is_exactly_its_three_fields(value: bytes) -> None:
    with pytest.raises(UndecodableDataKeyError) as caught:
        decode(value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 27, 28, 59, 61])
def test_a_wrapped_key_of_another_length_is_refused(length: int) -> None:
    nonce, associated = bytes(12), UUID(ACCOUNT).bytes + UUID(LICENSE).bytes + bytes.fromhex(DK)
    blob = (nonce + AESGCM(OLD[1]).encrypt(nonce, bytes(max(length - 28, 0)), associated))[:length]
    value = encode(DataKeyRecord(account=ACCOUNT, kid="k1", sealed=to_base64url(blob)))
    with pytest.raises(SealBrokenError):
        KeyRing((OLD,)).unwrap(value, account=ACCOUNT, license_=LICENSE, dk=DK)


@given(license_=ids, dk=st.binary(min_size=8, max_size=8).map(bytes.hex))
def test_record_keys_are_read_back(license_: str, dk: str) -> None:
    assert read_record_key(record_key(license_, dk)) == (license_, dk)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"genesis",
        b"\xff:" + DK.encode(),
        LICENSE.encode(),
        f"{LICENSE}:".encode(),
        f"{LICENSE}:{DK}0".encode(),
        f"{LICENSE.upper()}:{DK}".encode(),
        f":{DK}".encode(),
    ],
)
def test_other_record_keys_are_nobodys(key: bytes | None) -> None:
    assert read_record_key(key) is None
