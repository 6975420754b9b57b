"""Keys that people sign with: the private half in a file of theirs, the public one named.

The private half is PKCS #8 in PEM, so that nobody mistakes it for the public one, which settings
have as 64 hex digits. Each purpose has keys of its own in a variable of its own, and words of its
own before what is signed.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Meta

PublicKey = Annotated[str, Meta(max_length=64, pattern=r"^[0-9a-f]{64}$(?!\n)")]
Signature = Annotated[str, Meta(max_length=128, pattern=r"^[0-9a-f]{128}$(?!\n)")]


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
        raise PrivateKeyError("it is no Ed25519 key: `ledger … keygen` makes one")
    return key


def has_signed(public: str, signature: str, message: bytes) -> bool:
    """Whether the key with this public half has signed the message; both as hex."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    try:
        key.verify(bytes.fromhex(signature), message)
    except InvalidSignature:
        return False
    return True
