"""The golden checkpoint: of the golden log and an empty catalog, signed with fixed bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoints.document import Mark, checkpoint_of, encode, sign
from ledger.event_log import chain
from ledger.event_log.port import Record, Topic
from tests.ledger.domain.given import LEDGER, PEPPER
from tests.ledger.domain.golden_files import GOLDEN, read_log

GOLDEN_CHECKPOINT: Final[Path] = GOLDEN / "checkpoint.json"
GOLDEN_KEY: Final = Ed25519PrivateKey.from_private_bytes(b"c" * 32)
_MADE_MS: Final = 1_573_030_800_000


def mark_of(records: Sequence[Record]) -> Mark:
    """Where a partition of these records stands."""
    reached = chain.START
    for one in records:
        reached = chain.extend(reached, one.offset, one.timestamp_ms, one.key, one.value)
    return Mark(position=len(records), timestamp_ms=records[-1].timestamp_ms, chain=reached.hex())


def golden_checkpoint() -> bytes:
    """Bytes of the file."""
    log = read_log((GOLDEN / "log.jsonl").read_text(encoding="utf-8"))
    checkpoint = checkpoint_of(
        ledger=LEDGER,
        partitions=1,
        pepper_check=PEPPER.check_value,
        made_ms=_MADE_MS,
        marks={Topic.LICENSE_EVENTS: (mark_of(log),), Topic.CATALOG_EVENTS: (mark_of(log[:1]),)},
    )
    return encode(sign(checkpoint, GOLDEN_KEY))
