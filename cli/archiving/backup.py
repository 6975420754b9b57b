"""A run of `ledger backup`: what the log has beyond the folder, segment by segment.

The ends are read once, each topic's after those that rest on it: license events name policies and
rules, which are in the catalog before them; what is sealed in an event names a data key, which is
acknowledged before it. So whatever an event in the cut rests on is in the cut as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cli.archiving.stages import Stage, Stages
from cli.one_record import record_at
from cli.patience import patiently
from cli.trouble import plain
from ledger.archive.folder import Folder
from ledger.archive.manifest import FORMAT, Manifest, Segment, check, with_segments
from ledger.archive.segments import SegmentWriter
from ledger.archive.trouble import ForeignBackup, OtherLog
from ledger.domain.identifiers import Pepper
from ledger.event_log import chain, genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import EventLog, MissingTopic, Topic

SEGMENT_BYTES: Final = 64 << 20
"""Of records before compression; what an interruption costs at most, a partition at work."""
NOTE_EVERY_S: Final = 1.0
_AT_ONCE: Final = 4
_EVENTS: Final = (Topic.LICENSE_EVENTS, Topic.INCIDENT_EVENTS, Topic.CATALOG_EVENTS)
"""In the order in which their ends are read."""

Place = tuple[Topic, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """What the folder holds now, and how many records and bytes this run added to it."""

    manifest: Manifest
    records: int
    bytes: int


class Backup:
    """One run. `segment_bytes`: after how many bytes of records a segment ends."""

    def __init__(
        self,
        log: EventLog,
        folder: Folder,
        pepper: Pepper,
        partitions: int,
        *,
        segment_bytes: int,
    ) -> None:
        self._log = log
        self._folder = folder
        self._pepper = pepper
        self._partitions = partitions
        self._segment_bytes = segment_bytes
        self._added: list[Segment] = []
        self._at: dict[Place, Segment] = {}
        """The last segment of each partition."""
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._noted = time.monotonic()

    async def run(self, stages: Stages) -> BackedUp:
        """Bring the folder to the log's end of now. Raises `ArchiveError`, `LogError`, `OSError`.

        However it ends, running it again goes on after the last segment that came to its end.
        """
        first = await patiently(self._genesis)
        self._manifest = self._begin(first)
        self._at = {place: found[-1] for place, found in self._manifest.by_partition().items()}
        ends = await self._ends()
        await self._all(ends, self._compare)
        with stages.of(Stage("license-events and catalog", self._missing(ends))) as moved:
            await self._all(ends, partial(self._take, moved=moved))
        await self._data_keys(stages)
        whole = with_segments(self._manifest, self._added)
        self._folder.save(whole, self._pepper, whole=True)
        return BackedUp(
            manifest=whole,
            records=sum(one.records for one in self._added),
            bytes=sum(one.bytes for one in self._added),
        )

    async def _genesis(self) -> Genesis:
        return await genesis.verify(
            self._log, pepper_check=self._pepper.check_value, partitions=self._partitions
        )

    def _begin(self, first: Genesis) -> Manifest:
        """What the folder has, of this ledger; something empty in a new one."""
        own = Manifest(
            format=FORMAT,
            tool=f"license-ledger {version('license-ledger')}",
            ledger=first.ledger,
            partitions=first.partitions,
            pepper_check=first.pepper_check,
            made_at=_now(),
        )
        begun = self._folder.begun()
        if begun is None:
            # From now on the folder is this ledger's, whatever becomes of the run.
            self._folder.save(own, self._pepper, whole=False)
            return own
        if begun.ledger != own.ledger:
            raise ForeignBackup(
                f"{self._folder.path} holds the backup of ledger {begun.ledger}, and the log is "
                f"ledger {own.ledger}'s: name another folder"
            )
        check(begun, pepper=self._pepper, partitions=self._partitions)
        self._folder.check_files(begun)
        return with_segments(own, list(begun.segments))

    async def _ends(self) -> dict[Place, int]:
        """Where the events end, the catalog's last; without topics that this ledger hasn't yet."""
        found: dict[Place, int] = {}
        for topic in _EVENTS:
            try:
                ends = await patiently(partial(self._log.ends, topic))
            except MissingTopic:
                if topic is not Topic.INCIDENT_EVENTS:
                    raise
                ends = {}
            found |= {(topic, partition): end for partition, end in ends.items() if end}
        return found

    async def _data_keys(self, stages: Stages) -> None:
        """Take the data keys over, and then what came meanwhile.

        What compaction took away before it was read was replaced by a record that came before that.
        """
        topic = Topic.LICENSE_DATA_KEYS
        for again in (False, True):
            found = await patiently(partial(self._log.ends, topic))
            ends = {(topic, partition): end for partition, end in found.items()}
            if not again:
                await self._all(ends, self._compare)
            with stages.of(Stage("data keys", self._missing(ends))) as moved:
                await self._all(ends, partial(self._take, moved=moved))

    async def _compare(self, place: Place, end: int) -> None:
        """See that the log still holds the last record that the folder has of a partition."""
        last = self._at.get(place)
        if last is None:
            return
        topic, partition = place
        if end < last.end:
            raise OtherLog(
                f"{topic}, partition {partition}, ends at {end}, and the backup has it up to "
                f"{last.end}: the log was replaced or cut off. Keep the backup as it is, and name "
                "another folder for this log"
            )
        record = await record_at(self._log, *place, last.end - 1)
        if record is None:
            return
        running = chain.extend(
            bytes.fromhex(last.before_last),
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
        )
        if running.hex() != last.chain:
            raise OtherLog(
                f"{topic}, partition {partition}, has another record at offset {record.offset} "
                "than the backup: the log was replaced since. Keep the backup as it is, and name "
                "another folder for this log"
            )

    async def _take(self, place: Place, end: int, *, moved: Callable[[int], None]) -> None:
        """Bring one partition up to its end."""
        while (at := self._reached(place)) < end:
            segment = await patiently(partial(self._segment, place, end))
            if segment is None:
                return
            self._added.append(segment)
            self._at[place] = segment
            moved(segment.end - at)
            self._note()

    def _note(self) -> None:
        """Note now and then how far the run is: what isn't noted is written again."""
        if time.monotonic() - self._noted < NOTE_EVERY_S:
            return
        self._noted = time.monotonic()
        so_far = with_segments(self._manifest, self._added)
        self._folder.save(so_far, self._pepper, whole=False)

    async def _segment(self, place: Place, end: int) -> Segment | None:
        """Write a partition's next segment; None where compaction has left nothing to write."""
        last = self._at.get(place)
        before = chain.START if last is None else bytes.fromhex(last.chain)
        at = self._reached(place)
        name = Segment.name(*place, at)
        writer = SegmentWriter(self._folder.temporary(name), at, before)
        try:
            async with aclosing(self._log.read(*place, start=at, stop=end)) as batches:
                async for batch in batches:
                    await asyncio.to_thread(writer.write, batch)
                    if writer.size >= self._segment_bytes:
                        break
            if not writer.records:
                return None
            segment = await asyncio.to_thread(writer.finish, *place, _now())
            self._folder.settle(name)
            return segment
        finally:
            writer.drop()

    def _reached(self, place: Place) -> int:
        last = self._at.get(place)
        return 0 if last is None else last.end

    def _missing(self, ends: Mapping[Place, int]) -> int:
        return sum(max(end - self._reached(place), 0) for place, end in ends.items())

    async def _all(
        self, ends: Mapping[Place, int], step: Callable[[Place, int], Awaitable[None]]
    ) -> None:
        """Take a step for each partition, some at once; the first that fails ends the others."""

        async def one(place: Place, end: int) -> None:
            async with self._limit:
                await step(place, end)

        try:
            async with asyncio.TaskGroup() as group:
                for place, end in ends.items():
                    group.create_task(one(place, end))
        except ExceptionGroup as trouble:
            raise plain(trouble) from None


async def back_up(
    log: EventLog, path: Path, pepper: Pepper, partitions: int, stages: Stages
) -> BackedUp:
    """Bring a folder's backup to the log's end of now, see `Backup.run`."""
    folder = Folder(path)
    with folder.held():
        run = Backup(log, folder, pepper, partitions, segment_bytes=SEGMENT_BYTES)
        return await run.run(stages)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
