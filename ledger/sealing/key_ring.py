"""The key ring: keys from the environment that seal the data keys, and so rotate by rewrapping.

Each is named by its `kid`. The first is current and seals; all of them open.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.sealing.data_key import (
    KEY_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    DataKey,
    SealBrokenError,
    bound_to,
    decrypt,
    from_base64url,
    to_base64url,
)
from ledger.sealing.records import KID_PATTERN, DataKeyRecord, decode, encode

_WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES


class SealKeyLostError(Exception):
    """The ring lacks the key `kid` that a data key is sealed under: names stay hidden."""

    def __init__(self, kid: str) -> None:
        super().__init__(f"seal key {kid} is not in LEDGER_SEAL_KEYS; add it back to open its data")
        self.kid = kid


class KeyRing:
    """Seal keys as (kid, 32 bytes), the current one first; `ValueError` if none or twice."""

    __slots__ = ("_ciphers", "current")

    def __init__(self, seal_keys: Sequence[tuple[str, bytes]]) -> None:
        kids = [kid for kid, _ in seal_keys]
        if not kids or len(set(kids)) != len(kids):
            raise ValueError("a key ring has at least one key, and each kid once")
        if not all(re.fullmatch(KID_PATTERN, kid) for kid in kids):
            raise ValueError("a kid is 1 to 64 letters and digits, of ASCII")
        if any(len(key) != KEY_BYTES for _, key in seal_keys):
            raise ValueError(f"a seal key has {KEY_BYTES} bytes")
        self._ciphers = {kid: AESGCM(key) for kid, key in seal_keys}
        self.current: Final = kids[0]

    def __repr__(self) -> str:
        """Name the keys, never show one."""
        return f"KeyRing({', '.join(self._ciphers)})"

    def wrap(self, data_key: DataKey, *, account: str, license_: str) -> bytes:
        """Value of the record that keeps the data key, sealed under the current seal key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(
            nonce, data_key.secret, _bound_to(account, license_, data_key.dk)
        )
        return encode(
            DataKeyRecord(account=account, kid=self.current, sealed=to_base64url(nonce + sealed))
        )

    def unwrap(self, value: bytes, *, account: str, license_: str, dk: str) -> DataKey:
        """Open the data key of a record's value.

        Raises `UndecodableDataKeyError`, `SealKeyLostError`, or `SealBrokenError` when the record
        was altered or is not of this account, license and dk, or the kid names another key.
        """
        record = decode(value)
        if record.account != account:
            raise SealBrokenError("the data key is of another account")
        cipher = self._ciphers.get(record.kid)
        if cipher is None:
            raise SealKeyLostError(record.kid)
        wrapped = from_base64url(record.sealed, _WRAPPED_BYTES)
        secret = decrypt(cipher, wrapped, _bound_to(account, license_, dk))
        if len(secret) != KEY_BYTES:
            raise SealBrokenError(f"a data key has {KEY_BYTES} bytes")
        return DataKey(dk=dk, secret=secret)

    def rewrap(self, value: bytes, *, license_: str, dk: str) -> bytes:
        """Seal the same data key under the current seal key: rotation, a record at a time.

        Gives the same bytes when it already is. Raises what `unwrap` raises.
        """
        record = decode(value)
        if record.kid == self.current:
            return value
        data_key = self.unwrap(value, account=record.account, license_=license_, dk=dk)
        return self.wrap(data_key, account=record.account, license_=license_)


def _bound_to(account: str, license_: str, dk: str) -> bytes:
    return bound_to(account, license_) + bytes.fromhex(dk)
