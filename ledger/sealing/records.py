"""Records of `license-data-keys`: one sealed data key each; no value means that it is erased.

Record key `<license id>:<dk>`, value canonical JSON (docs/format.md, "Data keys").
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from ledger.domain.identifiers import is_id
from ledger.sealing.data_key import is_dk

ERASED: Final = b""
"""What a replica holds in place of the value of an erased data key."""

RECORD_BYTES_MAX: Final = 1024

KID_PATTERN: Final = r"^[0-9A-Za-z]{1,64}\Z"

Kid = Annotated[str, Meta(pattern=KID_PATTERN)]


class UndecodableDataKeyError(Exception):
    """The record is no sealed data key; its text quotes nothing of the record."""


class DataKeyRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A data key as the log keeps it: whose, and sealed under which key of the ring."""

    account: str
    kid: Kid
    sealed: Annotated[str, Meta(max_length=128)]


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(DataKeyRecord)


def encode(record: DataKeyRecord) -> bytes:
    """Canonical bytes of a record's value."""
    return _encoder.encode(record)


def decode(value: bytes) -> DataKeyRecord:
    """Read a record's value; raises `UndecodableDataKeyError`."""
    if len(value) > RECORD_BYTES_MAX:
        raise UndecodableDataKeyError(f"a data key's record has at most {RECORD_BYTES_MAX} bytes")
    try:
        record = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UndecodableDataKeyError("the record's value is no sealed data key") from None
    if not is_id(record.account):
        raise UndecodableDataKeyError("the record's account is no id")
    return record


def record_key(license_: str, dk: str) -> bytes:
    """Key of the record that holds data key `dk` of a license."""
    return f"{license_}:{dk}".encode()


def read_record_key(key: bytes | None) -> tuple[str, str] | None:
    """License and dk of a record key; None for any other record, like the partition's genesis."""
    if key is None or not key.isascii():
        return None
    license_, _, dk = key.decode().partition(":")
    return (license_, dk) if is_id(license_) and is_dk(dk) else None
