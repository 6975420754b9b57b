"""Reading the log for its chain: some partitions at once, patiently, and with progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct

from cli.importing.progress import on_stderr
from cli.patience import patiently
from ledger.checkpoints.comparing import Finding, Known, compare, gone
from ledger.checkpoints.document import TOPICS, Mark
from ledger.checkpoints.walk import BEGINNING, Walk
from ledger.event_log.genesis import Genesis, read_genesis
from ledger.event_log.port import (
    EventLog,
    LogUnavailable,
    LostRecords,
    MissingTopic,
    NotInitialized,
    Topic,
)

AT_ONCE: Final = 4
"""Partitions that are read at once: they wait for the broker in turns."""

Ends = Mapping[Topic, Mapping[int, int]]
Place = tuple[Topic, int]


class _Log(Struct, frozen=True, kw_only=True):
    """What the progress is of."""

    moves: int
    path: Path = Path("records")


class Read(Struct, frozen=True, kw_only=True):
    """What was read: where each partition ends, and the walk along it."""

    ends: Ends
    walks: Mapping[Place, Walk]
    records: int

    def findings(self, known: Mapping[Place, Sequence[Known]], ledger: str | None) -> list[Finding]:
        """What isn't as the checkpoints know it: by topic, then by partition."""
        found = []
        for place, walk in self.walks.items():
            topic, partition = place
            found += compare(walk, self.ends[topic][partition], known.get(place, ()), ledger)
        return [*found, *self._gone(known)]

    def _gone(self, known: Mapping[Place, Sequence[Known]]) -> list[Finding]:
        """Topics and partitions that a checkpoint knows, and the log has not."""
        lacking: dict[Topic, list[Known]] = {}
        for (topic, partition), here in known.items():
            if (topic, partition) not in self.walks:
                lacking.setdefault(topic, []).extend(here)
        found = []
        for topic, here in lacking.items():
            names = dict.fromkeys(one.witness for one in here)
            has = len(self.ends.get(topic, ()))
            why = f"{topic} has {has} partitions only" if has else f"there is no topic {topic}"
            found.append(gone(topic, f"{why}; {', '.join(names)} knows it otherwise", names))
        return found


async def first_genesis(log: EventLog) -> Genesis | None:
    """The log's first record; None where that is lost, which the walk then tells of.

    Raises `ForeignLog`, `BrokerAwayError`.
    """
    try:
        return await patiently(partial(read_genesis, log, Topic.LICENSE_EVENTS, 0))
    except (NotInitialized, LostRecords, MissingTopic):
        return None


async def read_log(
    log: EventLog,
    *,
    stops: Mapping[Place, Iterable[int]],
    starts: Mapping[Place, Mark] | None = None,
    to_end: bool,
) -> Read:
    """Read the log from `starts`, else from its beginning, to the last stop, or to its end.

    Raises `BrokerAwayError` where the broker stays away.
    """
    ends = await _ends(log)
    walks = {}
    for topic, partitions in ends.items():
        for partition, end in sorted(partitions.items()):
            place = topic, partition
            within = [one for one in stops.get(place, ()) if one <= end]
            # At the least whose genesis it is.
            last = end if to_end else max(within, default=min(end, 1))
            start = (starts or {}).get(place, BEGINNING)
            walks[place] = Walk(topic, partition, end=last, stops=within, start=start)
    total = sum(walk.left for walk in walks.values())
    await _walk_all(log, list(walks.values()), total)
    return Read(ends=ends, walks=walks, records=total - sum(one.left for one in walks.values()))


async def _ends(log: EventLog) -> dict[Topic, dict[int, int]]:
    found = {}
    for topic in TOPICS:
        try:
            found[topic] = await patiently(partial(log.ends, topic))
        except MissingTopic:
            continue
    return found


async def _walk_all(log: EventLog, walks: Sequence[Walk], total: int) -> None:
    watching, limit = on_stderr(), asyncio.Semaphore(AT_ONCE)
    on_moved = watching.begin(_Log(moves=total))

    async def walked(walk: Walk) -> None:
        async with limit:
            while walk.left:
                await patiently(partial(_move, walk, log, on_moved))

    try:
        async with asyncio.TaskGroup() as group:
            for walk in walks:
                group.create_task(walked(walk))
    finally:
        watching.end()


async def _move(walk: Walk, log: EventLog, on_moved: Callable[[int], None]) -> None:
    """Go on; only a walk that comes no further tries anybody's patience."""
    before = walk.position
    try:
        await walk.go_on(log, on_moved)
    except LogUnavailable:
        if walk.position == before:
            raise
