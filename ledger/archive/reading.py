"""Reading a backup: the records of a partition, and whether all of them are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ledger.archive.manifest import Manifest, Segment
from ledger.archive.segments import read_segment
from ledger.archive.trouble import DamagedBackup
from ledger.event_log import chain, genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import FOLDED, ForeignLog, Record, Topic


class Archive:
    """The backup in a folder, as its manifest has it. Reading blocks, in bounded memory."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._folder = folder
        self._segments = manifest.by_partition()
        self._by_checksum = {one.sha256: one.file for one in manifest.segments}

    @property
    def offsets(self) -> int:
        """How many offsets the backup spans, over all partitions."""
        return sum(one.end for one in self.manifest.ends)

    def batches(self, topic: Topic, partition: int) -> Iterator[list[Record]]:
        """A partition's records in their order; raises `DamagedBackup`."""
        running, first = chain.START, True
        for segment in self._segments.get((topic, partition), ()):
            for batch in self._segment(segment, running):
                if first:
                    self._check_genesis(topic, batch[0])
                    first = False
                yield batch
            running = bytes.fromhex(segment.chain)

    def verify(self, moved: Callable[[int], None]) -> int:
        """Read everything; return how many records there are. Raises `DamagedBackup`.

        `moved` is told of the offsets that were passed.
        """
        self._check_partitions()
        records = 0
        for one in self.manifest.ends:
            at = 0
            for batch in self.batches(one.topic, one.partition):
                records += len(batch)
                passed = batch[-1].offset + 1
                moved(passed - at)
                at = passed
        return records

    def _segment(self, segment: Segment, running: bytes) -> Iterator[list[Record]]:
        return read_segment(self._folder, segment, running, whose=self._by_checksum.get)

    def _check_partitions(self) -> None:
        """Every partition is there: each has a genesis record at least."""
        have = {(one.topic, one.partition) for one in self.manifest.ends}
        topics = dict.fromkeys((*FOLDED, *self.manifest.topics))
        for topic in topics:
            for partition in range(topic.partition_count(self.manifest.partitions)):
                if (topic, partition) not in have:
                    raise DamagedBackup(f"{topic}, partition {partition}, is not in the backup")

    def _check_genesis(self, topic: Topic, record: Record) -> None:
        """See that an event topic begins with this ledger's; in the compacted it may be later."""
        said = self.manifest
        own = Genesis(
            ledger=said.ledger,
            partition=record.partition,
            partitions=said.partitions,
            pepper_check=said.pepper_check,
        )
        try:
            found = genesis.decode(record.value) if record.key == genesis.RECORD_KEY else None
        except ForeignLog:
            found = None
        if found != own and not topic.compacted:
            raise DamagedBackup(
                f"{topic}, partition {record.partition}, of the backup does not begin with the "
                f"genesis record of ledger {said.ledger}: its segments are another ledger's"
            )
