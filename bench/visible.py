"""visible_p99_ms: how long after it was appended an event can be read from the replicas."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from math import inf
from time import perf_counter

import uvloop
from msgspec import Struct

from api.redis_link import Link
from bench.activations import activation
from bench.figures import Row, alone
from bench.system import Bench
from ledger.domain.events import Event
from ledger.domain.identifiers import partition_of
from ledger.event_log.codec import encode
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogError, Topic
from projector.read_model.keys import positions

PER_S = 1000
SECONDS = 5
GRACE_S = 5.0
_numbers = count(1_000_000)
"""Of activations, each higher than all before."""


class _Appended(Struct, frozen=True, kw_only=True):
    """An event: where it stands, when it was due to be sent and when it was acknowledged, in s."""

    partition: int
    offset: int
    due_s: float
    acknowledged_s: float


class _Seen:
    """What a replica has published: for each partition how far it was, and since when, in s."""

    def __init__(self, partitions: int) -> None:
        self._ends: list[list[int]] = [[] for _ in range(partitions)]
        self._at_s: list[list[float]] = [[] for _ in range(partitions)]

    def note(self, partition: int, end: int) -> None:
        """Note that the partition is folded up to `end`, as of now."""
        self._ends[partition].append(end)
        self._at_s[partition].append(perf_counter())

    def since_s(self, one: _Appended) -> float:
        """When an event became visible; infinity where it never did."""
        ends = self._ends[one.partition]
        at = bisect_right(ends, one.offset)
        return self._at_s[one.partition][at] if at < len(ends) else inf


def visible_p99_ms(bench: Bench) -> Row:
    """p99 of 1,000 events a second, from the acknowledgement to the publication by both replicas.

    The note has it from when each was due to be sent, with what Kafka needs to write and to flush
    it: on one broker each append waits for the disk.
    """
    since_due: list[float] = []

    def ours() -> float:
        due, acknowledged = uvloop.run(_measure(bench))
        since_due.append(due)
        return acknowledged

    return alone(
        "visible_p99_ms",
        ours=ours,
        unit="ms",
        bar="≤ 10",
        note=lambda: f"from when it was due {max(since_due):.1f} ms",
    )


async def _measure(bench: Bench) -> tuple[float, float]:
    """p99 in ms, from when an event was due, and from its acknowledgement on."""
    partitions = bench.system.settings.partitions
    links = [Link(replica.url) for replica in bench.system.replicas]
    seen = [_Seen(partitions) for _ in links]
    ready = [asyncio.Event() for _ in links]
    followers = [
        asyncio.create_task(_follow(*each, partitions))
        for each in zip(links, seen, ready, strict=True)
    ]
    log = KafkaLog(bench.system.kafka.bootstrap)
    try:
        await asyncio.gather(*(each.wait() for each in ready))
        appended = await _append(bench, log)
        async with asyncio.timeout(GRACE_S):
            while any(each.since_s(one) == inf for each in seen for one in appended):  # noqa: ASYNC110 - polls what two followers note
                await asyncio.sleep(0.05)
    finally:
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await log.close()
        for link in links:
            await link.close()

    def p99_ms(start_s: Callable[[_Appended], float]) -> float:
        took = [each.since_s(one) - start_s(one) for each in seen for one in appended]
        # What was not acknowledged became visible nobody knows when.
        took += [inf] * (len(seen) * PER_S * SECONDS - len(took))
        return sorted(took)[len(took) * 99 // 100] * 1000

    return p99_ms(lambda one: one.due_s), p99_ms(lambda one: one.acknowledged_s)


async def _follow(link: Link, seen: _Seen, ready: asyncio.Event, partitions: int) -> None:
    channels = {positions(partition).encode(): partition for partition in range(partitions)}
    async with aclosing(link.publications([name.decode() for name in channels])) as publications:
        async for publication in publications:
            if publication is None:
                ready.set()
                continue
            channel, message = publication
            seen.note(channels[channel], int(message.split(b" ", 2)[1]))


async def _append(bench: Bench, log: KafkaLog) -> list[_Appended]:
    """Append events at a fixed rate, whatever an acknowledgement takes."""
    licenses = bench.licenses
    events = [
        activation(bench, licenses[number % len(licenses)][0], next(_numbers))
        for number in range(PER_S * SECONDS)
    ]
    partitions = bench.system.settings.partitions
    values = [encode(event) for event in events]

    async def append(event: Event, value: bytes, due_s: float) -> _Appended | None:
        partition = partition_of(event.license, partitions)
        key = event.license.encode()
        try:
            stored = await log.append(Topic.LICENSE_EVENTS, partition, key=key, value=value)
        except LogError:
            return None
        return _Appended(
            partition=partition,
            offset=stored.offset,
            due_s=due_s,
            acknowledged_s=perf_counter(),
        )

    started, tasks = perf_counter(), []
    for number, (event, value) in enumerate(zip(events, values, strict=True)):
        due_s = started + number / PER_S
        left_s = due_s - perf_counter()
        if left_s > 0:
            await asyncio.sleep(left_s)
        tasks.append(asyncio.create_task(append(event, value, due_s)))
    appended = await asyncio.gather(*tasks)
    if None in appended:
        print(f"visible_p99_ms: {appended.count(None)} appends were not acknowledged in time")
    return [one for one in appended if one is not None]
