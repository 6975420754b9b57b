"""Data keys: what the personal and secret values of one license are sealed under.

A sealed value is the text `<dk>.<base64url of nonce, ciphertext, tag>`: AES-256-GCM, bound to
account and license (docs/format.md, "Sealed values"). Errors name neither secret nor plaintext.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import b64decode, urlsafe_b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.domain.identifiers import id_bytes

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
DK_BYTES: Final = 8
DK_LENGTH: Final = 2 * DK_BYTES
TEXT_BYTES_MAX: Final = 1024
"""Of a value in UTF-8 before it is sealed; sealed it has at most 1,420 characters."""

_SEALED_BYTES_MAX: Final = NONCE_BYTES + TEXT_BYTES_MAX + TAG_BYTES
_HEX: Final = frozenset("0123456789abcdef")


class SealBrokenError(Exception):
    """The sealed value is malformed, was altered, or belongs to another key, license or account."""


class NotSealableError(ValueError):
    """The text can't be sealed: it is too long, or no valid Unicode."""


class DataKey:
    """A license's data key, opened. `dk`: its name, 16 hex digits; `secret`: 32 bytes.

    Raises `ValueError` for any other shape. Never printed.
    """

    __slots__ = ("_cipher", "_secret", "dk")

    def __init__(self, *, dk: str, secret: bytes) -> None:
        if not is_dk(dk):
            raise ValueError(f"a data key is named by {DK_LENGTH} lower-case hex digits")
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a data key has {KEY_BYTES} bytes, this one has {len(secret)}")
        self.dk: Final = dk
        self._secret = secret
        self._cipher = AESGCM(secret)

    @classmethod
    def new(cls) -> DataKey:
        """Make a random data key under a random name."""
        return cls(dk=secrets.token_hex(DK_BYTES), secret=secrets.token_bytes(KEY_BYTES))

    def __repr__(self) -> str:
        """Say which one it is, never what it is."""
        return f"DataKey({self.dk}, …)"

    @property
    def secret(self) -> bytes:
        """The key itself, for the ring that wraps it and for nobody else."""
        return self._secret

    def seal(self, account: str, license_: str, text: str) -> str:
        """Seal a value of the license; each call gives another ciphertext.

        Raises `NotSealableError` above 1,024 bytes of UTF-8.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, _utf8(text), bound_to(account, license_))
        return f"{self.dk}.{to_base64url(nonce + sealed)}"

    def open(self, account: str, license_: str, sealed: str) -> str:
        """Open a sealed value; raises `SealBrokenError` when it is not this license's."""
        if dk_of(sealed) != self.dk:
            raise SealBrokenError(f"the value is sealed under another data key than {self.dk}")
        blob = from_base64url(sealed[DK_LENGTH + 1 :], _SEALED_BYTES_MAX)
        plain = decrypt(self._cipher, blob, bound_to(account, license_))
        return plain.decode()


def dk_of(sealed: str) -> str:
    """Name of the data key that opens the value; raises `SealBrokenError` when it names none."""
    dk, dot, _ = sealed.partition(".")
    if not dot or not is_dk(dk):
        raise SealBrokenError("a sealed value begins with its data key's name and a dot")
    return dk


def is_dk(text: str) -> bool:
    """Whether `text` has the form of a data key's name."""
    return len(text) == DK_LENGTH and _HEX.issuperset(text)


def bound_to(account: str, license_: str) -> bytes:
    """Associated data that ties a ciphertext to its account and license."""
    return id_bytes(account) + id_bytes(license_)


def decrypt(cipher: AESGCM, blob: bytes, associated: bytes) -> bytes:
    """Open nonce, ciphertext and tag; raises `SealBrokenError`."""
    if len(blob) < NONCE_BYTES + TAG_BYTES:
        raise SealBrokenError("a sealed value has a nonce and a tag, this one is shorter")
    try:
        return cipher.decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], associated)
    except InvalidTag:
        raise SealBrokenError("the sealed value does not open: altered, or not for here") from None


def to_base64url(blob: bytes) -> str:
    """Text of bytes, without padding."""
    return urlsafe_b64encode(blob).rstrip(b"=").decode()


def from_base64url(text: str, bytes_max: int) -> bytes:
    """Bytes of the one text that means them; raises `SealBrokenError` for any other."""
    if len(text) > (bytes_max * 4 + 2) // 3:
        raise SealBrokenError(f"a sealed value has at most {bytes_max} bytes")
    try:
        blob = b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        raise SealBrokenError("a sealed value is base64url without padding") from None
    # The decoder also takes other alphabets and stray bits: two texts must never mean one value.
    if to_base64url(blob) != text:
        raise SealBrokenError("a sealed value is base64url without padding, in its one form")
    return blob


def _utf8(text: str) -> bytes:
    # No exception of the codec's: it would carry the text along.
    plain = text.encode(errors="replace")
    if len(plain) > TEXT_BYTES_MAX:
        raise NotSealableError(
            f"a sealed value has at most {TEXT_BYTES_MAX} bytes, this one {len(plain)}"
        )
    if plain.decode() != text:
        raise NotSealableError("a sealed value is valid Unicode")
    return plain
