"""The keys that emergency orders are signed with: the private half in a file, the public one named.

The private half is PKCS #8 in PEM, so that nobody mistakes it for the public one, which settings
have as 64 hex digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.environment import SettingsError, given

KEYS_MAX: Final = 16
NAME: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_VARIABLE: Final = "LEDGER_EMERGENCY_KEYS"


class PrivateKeyError(Exception):
    """A private key can't be used; the text says why, and quotes nothing of it."""


def new_key() -> Ed25519PrivateKey:
    """Make a key."""
    return Ed25519PrivateKey.generate()


def public_hex(key: Ed25519PrivateKey) -> str:
    """Public half of a key, as settings have it."""
    return key.public_key().public_bytes_raw().hex()


def private_pem(key: Ed25519PrivateKey) -> str:
    """Text of a private key's file."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def read_private(pem: bytes) -> Ed25519PrivateKey:
    """Private key of its file's bytes; raises `PrivateKeyError`."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise PrivateKeyError("it has a passphrase: take it off for this one use") from None
    except ValueError:
        raise PrivateKeyError("it is no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise PrivateKeyError("it is no Ed25519 key: `ledger neutralize keygen` makes one")
    return key


def read_keys(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and public keys that a worker obeys; none: it takes no orders.

    Raises `SettingsError`.
    """
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in given(environment, _VARIABLE).split(","))):
        name, _, digits = entry.partition("=")
        if name in found or not NAME.fullmatch(name) or not _HEX.fullmatch(digits):
            raise SettingsError(
                f"{_VARIABLE} is a list of name=64 hex digits, the public half of a key "
                "(`ledger neutralize keygen` prints it), commas between, each name once"
            )
        found[name] = digits
    if len(set(found.values())) != len(found) or len(found) > KEYS_MAX:
        raise SettingsError(f"{_VARIABLE} has each key once, and at most {KEYS_MAX}")
    return tuple(found.items())
