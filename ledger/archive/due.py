"""What a restore writes of a partition: every record at its offset.

The data keys' topic is compacted: offsets have gaps, and a record that a later one of its key
replaces counts for nothing. Both become tombstones that a later record of the same key replaces:
so offsets stay as they were, every reader comes to the same end, and a data key that was erased
later is not brought back for a moment, not even sealed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

from ledger.archive.reading import Archive
from ledger.event_log.genesis import RECORD_KEY
from ledger.event_log.port import Record, Topic


@dataclass(frozen=True, slots=True)
class Due:
    """A record that is to stand in the log; `needed` or one that compaction may have taken away."""

    record: Record
    needed: bool = True


def due(archive: Archive, topic: Topic, partition: int) -> Iterator[list[Due]]:
    """What has to stand in a partition, in its order and without a gap; raises `DamagedBackup`.

    Of a compacted partition the digests of all its keys are held in memory, 16 bytes each.
    """
    if not topic.compacted:
        for batch in archive.batches(topic, partition):
            yield [Due(one) for one in batch]
        return
    last = _last(archive, topic, partition)
    at = 0
    for batch in archive.batches(topic, partition):
        found: list[Due] = []
        for one in batch:
            found += (Due(_filler(one, offset), needed=False) for offset in range(at, one.offset))
            needed = last[_digest(one.key)] == one.offset
            found.append(Due(one if needed else _filler(one, one.offset), needed=needed))
            at = one.offset + 1
        yield found


def _last(archive: Archive, topic: Topic, partition: int) -> dict[bytes, int]:
    """The offset of the last record of each key."""
    found: dict[bytes, int] = {}
    for batch in archive.batches(topic, partition):
        for one in batch:
            found[_digest(one.key)] = one.offset
    return found


def _digest(key: bytes | None) -> bytes:
    return blake2b(key or b"", digest_size=16).digest()


def _filler(record: Record, offset: int) -> Record:
    """A tombstone of the record's key at or before it. A genesis stands in for itself.

    Whoever looks for it takes the first record with its key.
    """
    return Record(
        partition=record.partition,
        offset=offset,
        timestamp_ms=record.timestamp_ms,
        key=record.key,
        value=record.value if record.key == RECORD_KEY else None,
    )
