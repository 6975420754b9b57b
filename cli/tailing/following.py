"""Following the log: all partitions at once, merged by time, through a broker's absence."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Container, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import Final

from cli.patience import patiently
from ledger.event_log.port import EventLog, LogUnavailable, MissingTopic, Record, Topic
from projector.read_model.keys import CATALOG

BATCH_RECORDS: Final = 200
ASKED_S: Final = 3.0
"""A broker that is only busy answers by then, to who looks just once."""
_LOOK_EVERY_S: Final = 0.25
_AWAY_S: Final = 1.0


async def follow(
    log: EventLog, starts: Mapping[int, int], *, forever: bool, say: Callable[[str], None]
) -> AsyncGenerator[Sequence[Record], None]:
    """Yield the events of the partitions of `starts` from there on, in batches, merged by time.

    `starts`: offsets by partition of license-events, and by `CATALOG` of the catalog's one, which
    is the `partition` of its records here, too.
    What stood in the log at a look comes in the order of its timestamps, whatever its partition;
    an empty batch says that a look is at its end. `forever`: look again, and say it when the
    broker is away and when it is back; nothing is left out or told twice. Raises `LogError`, and
    `BrokerAwayError` where it looks just once.
    """
    positions, away = dict(starts), False
    while True:
        try:
            look = partial(ends_of, log, starts)
            ends = await (look() if forever else patiently(look, for_s=ASKED_S))
            if away:
                say("the broker answers again")
            away = False
            async with aclosing(_batches(log, positions, ends)) as batches:
                async for batch in batches:
                    yield batch
                    positions |= {one.partition: one.offset + 1 for one in batch}
            yield ()
        except (LogUnavailable, MissingTopic) as error:
            # A broker that comes back tells of its topics one by one.
            if not forever or (isinstance(error, MissingTopic) and not away):
                raise
            if not away:
                say(f"{error}: waiting for the broker")
            away = True
            await asyncio.sleep(_AWAY_S)
            continue
        if not forever:
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def ends_of(log: EventLog, partitions: Container[int]) -> dict[int, int]:
    """Return the ends of all partitions, with the catalog's where it is one of `partitions`."""
    ends = dict(await log.ends(Topic.LICENSE_EVENTS))
    if CATALOG in partitions:
        ends[CATALOG] = (await log.ends(Topic.CATALOG_EVENTS))[0]
    return ends


async def _batches(
    log: EventLog, starts: Mapping[int, int], ends: Mapping[int, int]
) -> AsyncGenerator[Sequence[Record], None]:
    batch: list[Record] = []
    async with aclosing(_merged(log, starts, ends)) as records:
        async for record in records:
            batch.append(record)
            if len(batch) >= BATCH_RECORDS:
                yield batch
                batch = []
    if batch:
        yield batch


async def _merged(
    log: EventLog, starts: Mapping[int, int], ends: Mapping[int, int]
) -> AsyncGenerator[Record, None]:
    """Merge the partitions by timestamp; of each no more than a batch of the log is in hand."""
    readings = [
        _Reading(_read(log, partition, start, ends[partition]))
        for partition, start in starts.items()
        if start < ends[partition]
    ]
    try:
        filled = await asyncio.gather(*(one.fill() for one in readings), return_exceptions=True)
        for error in filled:
            if error is not None:
                raise error
        heads = [
            (one.waiting[0].timestamp_ms, at) for at, one in enumerate(readings) if one.waiting
        ]
        heapify(heads)
        while heads:
            _, at = heads[0]
            reading = readings[at]
            yield reading.waiting.popleft()
            if not reading.waiting:
                await reading.fill()
            if reading.waiting:
                heapreplace(heads, (reading.waiting[0].timestamp_ms, at))
            else:
                heappop(heads)
    finally:
        await asyncio.gather(*(one.batches.aclose() for one in readings), return_exceptions=True)


async def _read(
    log: EventLog, partition: int, start: int, stop: int
) -> AsyncGenerator[Sequence[Record], None]:
    topic, of_topic = Topic.LICENSE_EVENTS, partition
    if partition == CATALOG:
        topic, of_topic = Topic.CATALOG_EVENTS, 0
    async with aclosing(log.read(topic, of_topic, start=start, stop=stop)) as batches:
        async for records in batches:
            yield [replace(one, partition=partition) for one in records]


class _Reading:
    def __init__(self, batches: AsyncGenerator[Sequence[Record], None]) -> None:
        self.batches = batches
        self.waiting: deque[Record] = deque()

    async def fill(self) -> None:
        """Take the next batch; none waits at the end."""
        async for batch in self.batches:
            self.waiting.extend(batch)
            return
