"""Records set aside: stored whole, to be folded again by newer code; pure and deterministic."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct


class SetAside(Struct, frozen=True, kw_only=True):
    """A record that waits: where it stood, its clock there, and its bytes.

    `timestamp_ms` is the broker's; `elapsed_ms` is the partition's elapsed clock at the record.
    """

    offset: int
    timestamp_ms: int
    elapsed_ms: int
    key: bytes | None
    value: bytes | None


class _Stored(Struct, frozen=True, kw_only=True):
    """The record as JSON, its bytes in base64. The offset keeps two of the same bytes apart."""

    offset: int
    key: bytes | None
    value: bytes | None


_encoder: Final = msgspec.json.Encoder(order="sorted")
_stored: Final = msgspec.json.Decoder(_Stored)


def set_aside_member(record: SetAside) -> bytes:
    """Member of the sorted set: `<timestamp>:<elapsed>:<record>`; its score is the offset."""
    stored = _Stored(offset=record.offset, key=record.key, value=record.value)
    return b"%d:%d:%b" % (record.timestamp_ms, record.elapsed_ms, _encoder.encode(stored))


def read_set_aside(member: bytes) -> SetAside:
    """Record of its member."""
    timestamp_ms, elapsed_ms, document = member.split(b":", 2)
    stored = _stored.decode(document)
    return SetAside(
        offset=stored.offset,
        timestamp_ms=int(timestamp_ms),
        elapsed_ms=int(elapsed_ms),
        key=stored.key,
        value=stored.value,
    )
