"""Emergency orders: what is ordered, its canonical bytes, and who may order it.

An order says of one account, or of one of its products, that checks which can't be answered are
answered VALID for at most four hours. It is signed (Ed25519) by a key whose private half is on no
server: whoever holds the servers can't approve anything by it. The law is docs/format.md
("Emergency orders").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct

from ledger.domain.terms import Id, TimeMs
from ledger.signing_keys import PublicKey, Signature, has_signed, public_hex

DURATION_S_MAX: Final = 4 * 3600
FUTURE_MS_MAX: Final = 60_000
"""How far ahead of whoever takes it an order's clock may be: as far as two clocks may be apart."""
REASON_LENGTH_MAX: Final = 256
DOCUMENT_BYTES_MAX: Final = 4096
CONTEXT: Final = b"license-ledger emergency order 1\n"
"""Stands before what is signed, so that no signature of anything else is one of an order."""

Duration = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Reason = Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH_MAX)]


class Start(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="start"
):
    """Order: answer the account's checks that can't be answered with VALID.

    `product`: of this one only. `unknown_keys`: also for keys that nothing is known of.
    `duration_s`: from `issued_ms` on, at most `DURATION_S_MAX`. `reason`: why, for people.
    """

    id: Id
    ledger: Id
    account: Id
    issued_ms: TimeMs
    duration_s: Duration
    reason: Reason
    product: Id | None = None
    unknown_keys: bool = False


class End(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="end"
):
    """Order: the one with the id `ends` is over, at once."""

    id: Id
    ledger: Id
    ends: Id
    issued_ms: TimeMs
    reason: Reason


Order = Start | End


class Signed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order as it travels: with the public half of the key that has signed it, both as hex."""

    order: Order
    key: PublicKey
    signature: Signature


class Refusal(StrEnum):
    """Why an order isn't taken."""

    KEY_UNKNOWN = "KEY_UNKNOWN"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    OF_ANOTHER_LEDGER = "OF_ANOTHER_LEDGER"
    TOO_LONG = "TOO_LONG"
    EXPIRED = "EXPIRED"
    FROM_THE_FUTURE = "FROM_THE_FUTURE"
    ENDED = "ENDED"
    ID_TAKEN = "ID_TAKEN"
    TOO_MANY = "TOO_MANY"


class UndecodableOrderError(Exception):
    """These bytes are no signed order; the text quotes nothing of them."""


_encoder: Final = msgspec.json.Encoder(order="sorted")
decoder: Final = msgspec.json.Decoder(Signed)


def signed_bytes(order: Order) -> bytes:
    """Bytes that are signed: the order's one canonical form, behind `CONTEXT`."""
    return CONTEXT + _encoder.encode(order)


def sign(order: Order, key: Ed25519PrivateKey) -> Signed:
    """Sign an order."""
    return Signed(
        order=order,
        key=public_hex(key),
        signature=key.sign(signed_bytes(order)).hex(),
    )


def encode(signed: Signed) -> bytes:
    """Bytes of a signed order's document, as a file or a request's body has it."""
    return _encoder.encode(signed)


def decode(document: bytes) -> Signed:
    """Signed order of a document; raises `UndecodableOrderError`. It says nothing of who signed."""
    if len(document) > DOCUMENT_BYTES_MAX:
        raise UndecodableOrderError(f"a signed order has at most {DOCUMENT_BYTES_MAX} bytes")
    try:
        return decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableOrderError("this is no signed order") from None


def signer(signed: Signed, keys: Mapping[str, str]) -> str | Refusal:
    """Name of the key that has signed the order, of `keys`: names by public key, as hex."""
    name = keys.get(signed.key)
    if name is None:
        return Refusal.KEY_UNKNOWN
    if not has_signed(signed.key, signed.signature, signed_bytes(signed.order)):
        return Refusal.SIGNATURE_INVALID
    return name
