"""The chain: a running hash over a partition's records, the log's fingerprint up to a position."""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import Final

CHAIN_BYTES: Final = 16
START: Final = bytes(CHAIN_BYTES)
"""Chain before the first record."""

_before_key: Final = Struct(">16sqqi").pack
_before_value: Final = Struct(">i").pack
_NONE: Final = -1


def extend(
    chain: bytes, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None
) -> bytes:
    """Chain after one more record.

    BLAKE2b with 16 bytes of output over, one after the other: the chain before it (16 bytes), its
    offset (8), the broker's timestamp in milliseconds (8), length of its key (4) and the key,
    length of its value (4) and the value. Numbers are signed, big-endian; no key or no value has
    the length -1. Every record counts: genesis, duplicates, what can't be decoded and what is set
    aside (docs/format.md, "State in Redis").
    """
    named = _before_key(chain, offset, timestamp_ms, _NONE if key is None else len(key))
    told = _before_value(_NONE if value is None else len(value))
    message = b"%b%b%b%b" % (named, key or b"", told, value or b"")
    return blake2b(message, digest_size=CHAIN_BYTES).digest()


def from_text(text: str) -> bytes:
    """Chain of its form in the head; empty before the first record."""
    return bytes.fromhex(text) if text else START
