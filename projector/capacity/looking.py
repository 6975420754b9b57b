"""What is looked at: the log and how it grew, the brokers' disks, a Redis, a local copy.

The log alone knows how fast things came; what they take in a Redis or in a file is foreseen by
what each license takes there now.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ledger.event_log.port import MissingTopic, TimedLog, Topic, Topics
from ledger.event_log.volumes import Volume
from projector.capacity.forecast import DAY_S, Pace, Store, grown

SPANS_DAYS: Final = (1, 7, 30)
LICENSES_MIN: Final = 1_000
"""Below, what a license takes can't be told from what there is anyway."""
_FEW: Final = f"fewer than {LICENSES_MIN:,} licenses yet"
_ASK_S: Final = 2.0
_COPY: Final = "data.mdb"

Counts = Mapping[Topic, Mapping[int, int]]


class Came(Struct, frozen=True, kw_only=True):
    """How many records came to each partition in the last `span_s` seconds."""

    span_s: float
    records: Counts


class History(Struct, frozen=True, kw_only=True):
    """All records of the log, and what came of them lately, by the spans that the log reaches."""

    ends: Counts
    came: Sequence[Came]

    @property
    def licenses(self) -> int:
        """Licenses ever issued: each has a data key. The genesis records are none."""
        keys = self.ends.get(Topic.LICENSE_DATA_KEYS, {})
        return max(0, sum(keys.values()) - len(keys))

    def paces(self, sizes: Mapping[tuple[Topic, int], int]) -> list[Pace]:
        """How fast partitions grow that take so many bytes."""
        return [
            Pace(
                bytes_a_day=sum(
                    grown(
                        size, came.records[topic][at], self.ends[topic][at], came.span_s
                    ).bytes_a_day
                    for (topic, at), size in sizes.items()
                    if at in self.ends.get(topic, {})
                ),
                span_s=came.span_s,
            )
            for came in self.came
        ]

    def paces_by_license(self, used: int) -> list[Pace]:
        """How fast that grows which all licenses together take."""
        return [
            grown(
                used,
                sum(came.records.get(Topic.LICENSE_DATA_KEYS, {}).values()),
                self.licenses,
                came.span_s,
            )
            for came in self.came
        ]


NOTHING: Final = History(ends={}, came=())
"""Where nothing is known of the log."""


async def began_ms(log: TimedLog) -> int | None:
    """When the log's first record was written; None of an empty one. Raises `LogError`."""
    async with aclosing(log.read(Topic.LICENSE_EVENTS, 0, start=0, stop=1)) as batches:
        async for batch in batches:
            return batch[0].timestamp_ms
    return None


async def history(log: TimedLog, began: int | None) -> History:
    """Ask the log where it ends, and where it ended then; `began`: see above. Raises `LogError`."""
    now_ms = time.time_ns() // 1_000_000
    age_s = 0.0 if began is None else max(0.0, (now_ms - began) / 1000)
    ends: dict[Topic, dict[int, int]] = {}
    for topic in Topic:
        try:
            ends[topic] = await log.ends(topic)
        except MissingTopic:
            if topic is not Topic.INCIDENT_EVENTS:
                raise
    came = []
    for span_s in _spans(age_s):
        since = {topic: await log.since(topic, now_ms - round(span_s * 1000)) for topic in ends}
        records = {
            topic: {at: max(0, end - since[topic].get(at, end)) for at, end in each.items()}
            for topic, each in ends.items()
        }
        came.append(Came(span_s=span_s, records=records))
    return History(ends=ends, came=came)


def _spans(age_s: float) -> list[float]:
    """Spans that the log reaches, and its whole life where it is younger than the longest."""
    reached = [days * DAY_S for days in SPANS_DAYS if days * DAY_S <= age_s]
    return reached if len(reached) == len(SPANS_DAYS) else [*reached, max(age_s, 1.0)]


def brokers(found: Sequence[Volume], topics: Topics, past: History) -> list[Store]:
    """Tell of the brokers' disks."""
    names = {topics.name(topic): topic for topic in Topic}
    several = len({one.broker for one in found}) < len(found)
    return [_broker(one, names, past, several=several) for one in found]


def _broker(volume: Volume, names: Mapping[str, Topic], past: History, *, several: bool) -> Store:
    name = f"kafka-{volume.broker}" + (f":{volume.folder}" if several else "")
    if volume.trouble:
        return Store(name=name, unknown=volume.trouble)
    sizes = {
        (names[topic], at): size for (topic, at), size in volume.sizes.items() if topic in names
    }
    return Store(
        name=name,
        used=sum(volume.sizes.values()),
        size=volume.total,
        room=volume.usable,
        paces=past.paces(sizes),
    )


def redis(letter: str, info: Mapping[str, Any], past: History) -> Store:
    """Tell of a replica by what its Redis says of itself (INFO)."""
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    size = most or int(info.get("total_system_memory", 0)) or None
    ours = max(0, used - int(info.get("used_memory_startup", 0)))
    return Store(
        name=f"redis-{letter}",
        used=used,
        size=size,
        room=None if size is None else max(0, size - used),
        **_by_license(ours, past),
    )


async def redis_info(url: str) -> dict[str, Any]:
    """What a Redis says of itself. Raises `RedisError`, `OSError`, `TimeoutError`."""
    client = Redis.from_url(
        url,
        socket_timeout=_ASK_S,
        socket_connect_timeout=_ASK_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        found: dict[str, Any] = await client.info()
        return found
    finally:
        await client.aclose()


def local_copy(folder: Path, max_bytes: int, past: History) -> Store:
    """Tell of this host's copy: it ends at its own limit, or with the disk. Raises `OSError`."""
    used = (folder / _COPY).stat().st_size
    left = max(0, max_bytes - used)
    free = shutil.disk_usage(folder).free
    return Store(
        name="local-copy",
        used=used,
        size=used + min(left, free),
        room=min(left, free),
        **_by_license(used, past),
    )


def _by_license(used: int, past: History) -> dict[str, Any]:
    if past.licenses < LICENSES_MIN:
        return {"unknown": _FEW}
    return {"paces": past.paces_by_license(used)}
