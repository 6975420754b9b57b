"""A run of `ledger restore`: a backup into an empty cluster, every record as it was.

Nothing opens a ledger without its catalog: every process looks at the genesis of every topic when
it starts, and waits where one is missing. So the catalog is restored last, when all else is there,
was read back, and takes the broker's time again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cli.archiving.stages import Stage, Stages
from cli.archiving.verifying import verify
from cli.patience import patiently
from cli.trouble import plain
from ledger.archive.comparing import NEEDS, Comparison
from ledger.archive.due import Due, due
from ledger.archive.folder import Folder
from ledger.archive.manifest import check
from ledger.archive.reading import Archive
from ledger.archive.trouble import NotRestorable
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import EventLog, LogUnavailable, Record, Topic, Topics
from ledger.event_log.restoring import LOG_APPEND_TIME, Misplaced, Restorer
from ledger.settings import Settings

_AT_ONCE: Final = 4

Place = tuple[Topic, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What is in the cluster now, as it was at `made_at` (UTC).

    `records` are in the backup; `written`: by this run. `changed`: whether anything was: records,
    or the config of topics that were under restore.
    """

    ledger: str
    made_at: str
    records: int
    written: int
    changed: bool


class Restore:
    """One run: verify the backup, look at what is there, write the rest, read all of it back."""

    def __init__(self, archive: Archive, log: EventLog, restorer: Restorer) -> None:
        self._archive = archive
        self._log = log
        self._restorer = restorer
        self._ends = {(one.topic, one.partition): one.end for one in archive.manifest.ends}
        self._there: dict[Place, int] = {}
        """Up to where each partition was found to be as in the backup."""
        self._types: Mapping[Topic, str] = {}
        self._written = 0
        self._opened = False

    async def run(self, stages: Stages) -> Restored:
        """Restore all of it. Raises `ArchiveError`, `LogError`, `OSError`.

        However it ends, running it again goes on after what is there.
        """
        with stages.of(Stage("verify backup", self._archive.offsets)) as moved:
            records = await verify(self._archive, moved)
        await self._look(stages)
        rest = [one for one in self._archive.manifest.topics if one is not Topic.CATALOG_EVENTS]
        await self._restore(rest, "restore", stages)
        await self._restore([Topic.CATALOG_EVENTS], "restore catalog", stages)
        return Restored(
            ledger=self._archive.manifest.ledger,
            made_at=self._archive.manifest.made_at,
            records=records,
            written=self._written,
            changed=bool(self._written or self._opened),
        )

    async def _look(self, stages: Stages) -> None:
        """Compare all that stands in the topics, before anything is written."""
        self._types = found = await patiently(self._restorer.found)
        ends = {topic: await patiently(partial(self._log.ends, topic)) for topic in found}
        for topic, of_topic in ends.items():
            for partition, end in of_topic.items():
                self._check_end((topic, partition), end, found[topic])
        there = {
            (topic, partition): end
            for topic, of_topic in ends.items()
            for partition, end in of_topic.items()
            if end
        }
        if there:
            with stages.of(Stage("compare", sum(there.values()))) as moved:
                await _each(there, partial(self._compare, there, moved))
        self._there = there

    def _check_end(self, place: Place, end: int, timestamps: str) -> None:
        due_to, (topic, partition) = self._ends.get(place, 0), place
        if end > due_to:
            raise NotRestorable(
                f"{topic}, partition {partition}, has records up to {end}, and the backup ends at "
                f"{due_to}: a ledger lives there; {NEEDS}"
            )
        if 0 < end < due_to and timestamps == LOG_APPEND_TIME:
            raise NotRestorable(
                f"{topic}, partition {partition}, holds {end} records with the broker's own times: "
                f"no restore left them; {NEEDS}"
            )

    async def _restore(self, topics: Sequence[Topic], title: str, stages: Stages) -> None:
        """Write what is missing of some topics, read them back, and have them as a ledger's."""
        ends = {place: end for place, end in self._ends.items() if place[0] in topics}
        missing = {place: end for place, end in ends.items() if self._there.get(place, 0) < end}
        for topic in dict.fromkeys(topic for topic, _ in missing):
            await patiently(partial(self._restorer.make, topic))
        count = sum(end - self._there.get(place, 0) for place, end in missing.items())
        with stages.of(Stage(title, count)) as moved:
            await _each(missing, partial(self._write, moved))
        with stages.of(Stage(f"read back, {title}", sum(missing.values()))) as moved:
            await _each(missing, partial(self._compare, missing, moved))
        for topic in topics:
            if self._types.get(topic) != LOG_APPEND_TIME:
                await patiently(partial(self._restorer.open, topic))
                self._opened = True

    async def _write(self, moved: Callable[[int], None], place: Place) -> None:
        start = self._there.get(place, 0)
        for batch in due(self._archive, *place):
            records = [one.record for one in batch if one.record.offset >= start]
            if records:
                await self._store(place, records)
                self._written += len(records)
                moved(len(records))

    async def _store(self, place: Place, records: list[Record]) -> None:
        """Have records stored that follow what is there; after trouble, look what is stored."""
        left, doubtful = records, False

        async def store() -> None:
            nonlocal left, doubtful
            if doubtful:
                left = await self._not_stored(place, left)
            doubtful = True
            if left:
                await self._restorer.append(*place, left)

        try:
            await patiently(store)
        except Misplaced as error:
            raise NotRestorable(str(error)) from None

    async def _not_stored(self, place: Place, records: list[Record]) -> list[Record]:
        """Those of the records that aren't stored; raises `NotRestorable` where others are."""
        start, end = records[0].offset, (await self._log.ends(place[0]))[place[1]]
        stored = records[: max(end - start, 0)]
        comparison = self._comparison(place, [[Due(one) for one in stored]])
        if end > start:
            async with aclosing(self._log.read(*place, start=start, stop=end)) as batches:
                async for batch in batches:
                    comparison.take(batch)
        return records[len(stored) :]

    async def _compare(
        self, ends: Mapping[Place, int], moved: Callable[[int], None], place: Place
    ) -> None:
        """See that a partition holds up to its end what the backup has; raises `NotRestorable`."""
        comparison, end = self._comparison(place, due(self._archive, *place)), ends[place]
        while (at := comparison.at) < end:
            await patiently(partial(self._go_on, place, comparison, end, moved))
            if comparison.at == at:
                raise comparison.differs()

    async def _go_on(
        self, place: Place, comparison: Comparison, end: int, moved: Callable[[int], None]
    ) -> None:
        """Compare to the end, or until the broker fails; that is trouble if nothing came."""
        at = comparison.at
        try:
            async with aclosing(self._log.read(*place, start=at, stop=end)) as batches:
                async for batch in batches:
                    before = comparison.at
                    comparison.take(batch)
                    moved(comparison.at - before)
        except LogUnavailable:
            if comparison.at == at:
                raise

    def _comparison(self, place: Place, batches: Iterable[list[Due]]) -> Comparison:
        return Comparison(*place, batches, self._archive.manifest.ledger)


async def restore(settings: Settings, path: Path, copies: int, stages: Stages) -> Restored:
    """Restore the backup in a folder into the Kafka of the settings, see `Restore.run`.

    `copies`: on how many brokers each record lies.
    """
    manifest = Folder(path).manifest()
    check(manifest, pepper=settings.pepper, partitions=settings.partitions)
    topics = Topics(prefix=settings.topic_prefix)
    log = KafkaLog(settings.kafka, topics)
    restorer = Restorer(settings.kafka, topics, settings.partitions, copies)
    try:
        return await Restore(Archive(path, manifest), log, restorer).run(stages)
    finally:
        await restorer.close()
        await log.close()


async def _each(places: Iterable[Place], step: Callable[[Place], Awaitable[None]]) -> None:
    """Take a step for each partition, some at once; the first that fails ends the others."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(place: Place) -> None:
        async with limit:
            await step(place)

    try:
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(one(place))
    except ExceptionGroup as trouble:
        raise plain(trouble) from None
