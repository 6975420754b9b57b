"""Keys: the private half in PEM, the public one in the settings; neither taken for the other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from ledger.emergency.keys import read_keys
from ledger.environment import SettingsError
from ledger.named_keys import KEYS_MAX
from ledger.signing_keys import (
    PrivateKeyError,
    new_key,
    private_pem,
    public_hex,
    read_private,
)
from tests.emergency import KEY, OTHER_KEY, SETTING


def test_a_key_comes_back_from_its_file() -> None:
    key = new_key()
    pem = private_pem(key)
    assert pem.startswith("-----BEGIN PRIVATE KEY-----")
    assert public_hex(read_private(pem.encode())) == public_hex(key)
    assert public_hex(key) != public_hex(new_key())


@pytest.mark.parametrize("content", [b"", b"x", bytes.fromhex("65" * 32)])
def test_what_is_no_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(PrivateKeyError, match="no private key"):
        read_private(content)


def test_a_key_of_another_kind_or_under_a_passphrase_is_refused() -> None:
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    for key in (x25519.X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())):
        with pytest.raises(PrivateKeyError, match="no Ed25519 key"):
            read_private(key.private_bytes(*pem, plain))
    locked = KEY.private_bytes(*pem, serialization.BestAvailableEncryption(b"p"))
    with pytest.raises(PrivateKeyError, match="passphrase"):
        read_private(locked)


def test_settings_name_public_keys() -> None:
    assert read_keys({}) == ()
    both = f"{SETTING}, second={public_hex(OTHER_KEY)}"
    assert read_keys({"LEDGER_EMERGENCY_KEYS": both}) == (
        ("ops", public_hex(KEY)),
        ("second", public_hex(OTHER_KEY)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "ops",
        "ops=",
        f"={public_hex(KEY)}",
        f"ops={public_hex(KEY)[1:]}",
        f"ops={public_hex(KEY).upper()}",
        f"o s={public_hex(KEY)}",
        f"{SETTING},{SETTING}",
        f"{SETTING},again={public_hex(KEY)}",
        ",".join(f"k{at}={at:064x}" for at in range(KEYS_MAX + 1)),
        private_pem(KEY),
    ],
)
def test_wrong_settings_are_named(text: str) -> None:
    with pytest.raises(SettingsError, match="LEDGER_EMERGENCY_KEYS") as raised:
        read_keys({"LEDGER_EMERGENCY_KEYS": text})
    assert "BEGIN" not in str(raised.value)
