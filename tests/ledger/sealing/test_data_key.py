from __future__ import annotations

import traceback
from base64 import urlsafe_b64encode
from typing import get_type_hints
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from ledger.domain.events import SECRET_BYTES_MAX, Issued
from ledger.sealing.data_key import (
    TEXT_BYTES_MAX,
    DataKey,
    NotSealableError,
    SealBrokenError,
    dk_of,
)

ACCOUNT = "4f5b8f3a-51f5-5f0e-9a39-0a4a3c8a1b11"
LICENSE = "9b2d7f00-1a2b-8c3d-9e4f-5a6b7c8d9e0f"
DK = "00c0ffee00c0ffee"
SECRET = bytes(range(32))

ids = st.uuids().map(str)
texts = st.text(st.characters(codec="utf-8"), max_size=200)
_ALPHABET64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_ALPHABET = _ALPHABET64 + ".=+/é"
GOLDEN = "00c0ffee00c0ffee.AAECAwQFBgcICQoLKW2yfujU9cnwGeJUBPGRsOXwZg9mAeM"


def data_key() -> DataKey:
    return DataKey(dk=DK, secret=SECRET)


@given(account=ids, license_=ids, text=texts)
def test_what_was_sealed_opens_to_the_same_text(account: str, license_: str, text: str) -> None:
    key = DataKey.new()
    sealed = key.seal(account, license_, text)
    assert dk_of(sealed) == key.dk
    assert key.open(account, license_, sealed) == text
    assert DataKey(dk=key.dk, secret=key.secret).open(account, license_, sealed) == text


def test_the_format_is_the_documented_one() -> None:
    """An independent reading of docs/format.md: what anybody with the key can open."""
    dk, _, encoded = data_key().seal(ACCOUNT, LICENSE, "hôte").partition(".")
    blob = bytearray()
    bits, count = 0, 0
    for letter in encoded:
        bits, count = bits << 6 | _ALPHABET64.index(letter), count + 6
        if count >= 8:
            count -= 8
            blob.append(bits >> count & 255)
    associated = UUID(ACCOUNT).bytes + UUID(LICENSE).bytes
    assert dk == DK
    opened = AESGCM(SECRET).decrypt(bytes(blob[:12]), bytes(blob[12:]), associated)
    assert opened == "hôte".encode()


def test_a_value_sealed_long_ago_still_opens() -> None:
    """Golden: this form is in logs, so it never changes."""
    nonce = bytes(range(12))
    blob = nonce + AESGCM(SECRET).encrypt(
        nonce, b"node-17", UUID(ACCOUNT).bytes + UUID(LICENSE).bytes
    )
    sealed = f"{DK}.{urlsafe_b64encode(blob).decode().rstrip('=')}"
    assert sealed == GOLDEN
    assert data_key().open(ACCOUNT, LICENSE, GOLDEN) == "node-17"


@given(other=ids)
def test_another_account_or_license_is_refused(other: str) -> None:
    sealed = data_key().seal(ACCOUNT, LICENSE, "node-17")
    for account, license_ in ((other, LICENSE), (ACCOUNT, other), (LICENSE, ACCOUNT)):
        with pytest.raises(SealBrokenError):
            data_key().open(account, license_, sealed)


def test_another_data_key_is_refused_by_name_and_by_content() -> None:
    sealed = data_key().seal(ACCOUNT, LICENSE, "node-17")
    other = DataKey.new()
    with pytest.raises(SealBrokenError, match=other.dk):
        other.open(ACCOUNT, LICENSE, sealed)
    impostor = DataKey(dk=DK, secret=bytes(32))
    with pytest.raises(SealBrokenError):
        impostor.open(ACCOUNT, LICENSE, sealed)


@given(text=texts, data=st.data())
def test_any_changed_character_is_refused(text: str, data: st.DataObject) -> None:
    sealed = data_key().seal(ACCOUNT, LICENSE, text)
    at = data.draw(st.integers(0, len(sealed) - 1))
    letter = data.draw(st.sampled_from(_ALPHABET).filter(lambda other: other != sealed[at]))
    with pytest.raises(SealBrokenError):
        data_key().open(ACCOUNT, LICENSE, sealed[:at] + letter + sealed[at + 1 :])


@given(data=st.data())
def test_any_missing_or_added_end_is_refused(data: st.DataObject) -> None:
    sealed = data_key().seal(ACCOUNT, LICENSE, "node-17")
    end = data.draw(st.integers(0, len(sealed) - 1))
    added = data.draw(st.text(_ALPHABET, min_size=1, max_size=8))
    for changed in (sealed[:end], sealed + added):
        with pytest.raises(SealBrokenError):
            data_key().open(ACCOUNT, LICENSE, changed)


@given(text=st.text(max_size=60))
def test_whatever_is_no_sealed_value_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(SealBrokenError) as caught:
        data_key().open(ACCOUNT, LICENSE, f"{DK}.{text}")
    if len(text) > 12:
        assert text not in str(caught.value)


def test_equal_texts_give_different_ciphertexts() -> None:
    sealed = {data_key().seal(ACCOUNT, LICENSE, "node-17") for _ in range(100)}
    assert len(sealed) == 100


def test_the_limit_is_in_bytes_and_what_it_allows_fits_the_event() -> None:
    longest = "é" * (TEXT_BYTES_MAX // 2)
    sealed = data_key().seal(ACCOUNT, LICENSE, longest)
    assert data_key().open(ACCOUNT, LICENSE, sealed) == longest
    assert TEXT_BYTES_MAX >= SECRET_BYTES_MAX
    assert len(sealed) == 1420 <= _longest_sealed()
    with pytest.raises(NotSealableError, match="1026"):
        data_key().seal(ACCOUNT, LICENSE, longest + "é")


def _longest_sealed() -> int:
    """What the events' schema allows."""
    (meta,) = get_type_hints(Issued, include_extras=True)["key"].__metadata__
    assert isinstance(meta, Meta)
    assert meta.max_length is not None
    return meta.max_length


@pytest.mark.parametrize("text", ["canary-\ud800-host", "canary" * 200])
def test_what_cannot_be_sealed_is_not_told_again(text: str) -> None:
    with pytest.raises(NotSealableError) as caught:
        data_key().seal(ACCOUNT, LICENSE, text)
    assert caught.value.__context__ is None
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_repr_str_and_format_hide_the_secret() -> None:
    key = data_key()
    for shown in (repr(key), str(key), f"{key}", f"{key!r}"):
        assert shown == f"DataKey({DK}, …)"


@pytest.mark.parametrize(
    ("dk", "secret"),
    [
        ("00c0ffee", SECRET),
        ("00C0FFEE00C0FFEE", SECRET),
        ("00c0ffee00c0ffe.", SECRET),
        (DK, SECRET[1:]),
        (DK, SECRET + b"\0"),
    ],
)
def test_no_other_shape_is_a_data_key(dk: str, secret: bytes) -> None:
    with pytest.raises(ValueError, match="a data key"):
        DataKey(dk=dk, secret=secret)
