"""A checkpoint: where each partition stood, its chain up to there, and who has signed that.

It holds no secret, no key and no name: who has it learns how many records there are, and when the
last one came. The law is docs/format.md ("Checkpoints").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct

from ledger.domain.clocks import rfc3339
from ledger.domain.events import Digest
from ledger.domain.identifiers import PARTITIONS_MAX
from ledger.domain.terms import Id, TimeMs
from ledger.event_log.port import Topic
from ledger.signing_keys import PublicKey, Signature, has_signed, public_hex

VERSION: Final = 1
CONTEXT: Final = b"license-ledger checkpoint 1\n"
"""Stands before what is signed, so that no signature of anything else is one of a checkpoint."""
DOCUMENT_BYTES_MAX: Final = 2 * 1024 * 1024
"""Room for 4,096 partitions, each of the longest numbers."""
TOPICS: Final = tuple(topic for topic in Topic if not topic.compacted)
"""Topics that have a chain: of the compacted one records go, as they should."""

Position = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Partitions = Annotated[int, Meta(ge=1, le=PARTITIONS_MAX)]
Moment = Annotated[
    str,
    Meta(
        max_length=24,
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$(?!\n)",
    ),
]


class Mark(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A partition up to `position`, the next offset: the last record's timestamp, and the chain."""

    position: Position
    timestamp_ms: TimeMs | None
    chain: Digest


Marks = Annotated[tuple[Mark, ...], Meta(min_length=1, max_length=PARTITIONS_MAX)]


class _Topics(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    license_events: Marks
    catalog_events: Marks
    incident_events: Marks | None


class Checkpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a ledger's log was when it was read.

    `partitions`: N. `made_at`: when, on the clock of whoever made it; shown, decides nothing.
    `topics`: marks by partition; of `incident-events` None where the ledger has no such topic.
    """

    version: Literal[1]
    ledger: Id
    partitions: Partitions
    pepper_check: Digest
    made_at: Moment
    topics: _Topics

    @property
    def marks(self) -> dict[Topic, tuple[Mark, ...]]:
        """Marks of each topic that the ledger had, by partition."""
        found = {
            Topic.LICENSE_EVENTS: self.topics.license_events,
            Topic.CATALOG_EVENTS: self.topics.catalog_events,
        }
        if self.topics.incident_events is not None:
            found[Topic.INCIDENT_EVENTS] = self.topics.incident_events
        return found

    @property
    def records(self) -> int:
        """How many records it speaks for."""
        return sum(mark.position for marks in self.marks.values() for mark in marks)


class Signed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A checkpoint as a file has it: with the public half of the key that has signed it, as hex."""

    checkpoint: Checkpoint
    key: PublicKey
    signature: Signature


class Refusal(StrEnum):
    """Why nobody vouches for a checkpoint."""

    KEY_UNKNOWN = "KEY_UNKNOWN"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"


class UndecodableCheckpointError(Exception):
    """These bytes are no signed checkpoint that is known here; the text says what is wrong."""


class _Version(Struct):
    version: int


class _Outline(Struct):
    checkpoint: _Version


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Signed)
_outlines: Final = msgspec.json.Decoder(_Outline)
_mark: Final = re.compile(
    rb'\{\s+("chain": "\w+"),\s+("position": \d+),\s+("timestamp_ms": \w+)\s+\}'
)


def checkpoint_of(
    *,
    ledger: str,
    partitions: int,
    pepper_check: str,
    made_ms: int,
    marks: Mapping[Topic, tuple[Mark, ...]],
) -> Checkpoint:
    """Put a checkpoint together; `marks` by topic and partition."""
    return Checkpoint(
        version=VERSION,
        ledger=ledger,
        partitions=partitions,
        pepper_check=pepper_check,
        made_at=rfc3339(made_ms),
        topics=_Topics(
            license_events=marks[Topic.LICENSE_EVENTS],
            catalog_events=marks[Topic.CATALOG_EVENTS],
            incident_events=marks.get(Topic.INCIDENT_EVENTS),
        ),
    )


def signed_bytes(checkpoint: Checkpoint) -> bytes:
    """Bytes that are signed: the checkpoint's one canonical form, behind `CONTEXT`."""
    return CONTEXT + _encoder.encode(checkpoint)


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> Signed:
    """Sign a checkpoint."""
    return Signed(
        checkpoint=checkpoint,
        key=public_hex(key),
        signature=key.sign(signed_bytes(checkpoint)).hex(),
    )


def encode(signed: Signed) -> bytes:
    """Bytes of a checkpoint's file, laid out for people: a partition a line."""
    text = msgspec.json.format(_encoder.encode(signed), indent=2)
    return _mark.sub(rb"{\1, \2, \3}", text) + b"\n"


def decode(document: bytes) -> Signed:
    """Signed checkpoint of a file's bytes; it says nothing of who signed.

    Raises `UndecodableCheckpointError`.
    """
    if len(document) > DOCUMENT_BYTES_MAX:
        raise UndecodableCheckpointError(f"a checkpoint has at most {DOCUMENT_BYTES_MAX} bytes")
    try:
        signed = _decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UndecodableCheckpointError(_why(document)) from None
    found = signed.checkpoint
    for topic, marks in found.marks.items():
        wanted = topic.partition_count(found.partitions)
        if len(marks) != wanted:
            raise UndecodableCheckpointError(
                f"it has {len(marks)} partitions of {topic}, and a ledger of its N has {wanted}"
            )
    return signed


def signer(signed: Signed, keys: Mapping[str, str]) -> str | Refusal:
    """Name of the key that has signed the checkpoint, of `keys`: names by public key, as hex."""
    name = keys.get(signed.key)
    if name is None:
        return Refusal.KEY_UNKNOWN
    if not has_signed(signed.key, signed.signature, signed_bytes(signed.checkpoint)):
        return Refusal.SIGNATURE_INVALID
    return name


def _why(document: bytes) -> str:
    """What is wrong with what can't be decoded."""
    try:
        version = _outlines.decode(document).checkpoint.version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "this is no signed checkpoint"
    if version == VERSION:
        return "this is no signed checkpoint"
    return f"it has version {version}, and this software knows version {VERSION}"
