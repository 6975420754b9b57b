"""What is kept of a rehearsal of rules, in each replica, for whoever activates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from ledger.event_log import chain
from ledger.event_log.port import Record
from projector.read_model.keys import CATALOG, tag

KEY: Final = f"{tag(CATALOG)}:rehearsal"


class Outcome(Struct, frozen=True, kw_only=True):
    """What the last rehearsal of rules came to.

    `release`: by which code. `positions`: the next offset of each partition after what was folded;
    `chains`: the log's fingerprint there, `before_last`: before the last record, by which that
    record is recognized.
    `verdicts`, `licenses`: how many there were; `changed_verdicts`, `changed_licenses`: how many of
    these would have been others. `at_ms`: when it ended, by the producer's now.
    """

    ledger: str
    rules: int
    release: str
    positions: tuple[int, ...]
    chains: tuple[str, ...]
    before_last: tuple[str, ...]
    verdicts: int
    licenses: int
    changed_verdicts: int
    changed_licenses: int
    at_ms: int

    def is_of(self, ledger: str, rules: int, release: str) -> bool:
        """Whether it was of this ledger and these rules, by this release."""
        return (self.ledger, self.rules, self.release) == (ledger, rules, release)

    def grown(self, ends: Mapping[int, int]) -> int | None:
        """Records of the log since, which ends at `ends` now; None where it isn't the same log."""
        if sorted(ends) != list(range(len(self.positions))):
            return None
        each = [ends[place] - position for place, position in enumerate(self.positions)]
        return None if min(each) < 0 else sum(each)

    def ends_with(self, record: Record) -> bool:
        """Whether a record of the log is the last one that was folded of its partition."""
        if record.offset != self.positions[record.partition] - 1:
            return False
        before = chain.from_text(self.before_last[record.partition])
        reached = chain.extend(before, record.offset, record.timestamp_ms, record.key, record.value)
        return reached.hex() == self.chains[record.partition]


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Outcome)


def outcome_document(outcome: Outcome) -> bytes:
    """Stored form of an outcome."""
    return _encoder.encode(outcome)


def read_outcome(document: bytes) -> Outcome:
    """Outcome of its stored form."""
    return _decoder.decode(document)
