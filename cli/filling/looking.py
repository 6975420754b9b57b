"""A look at all that fills up: the log, the brokers' disks, the replicas, what is on this host."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from redis.exceptions import NoPermissionError, RedisError

from cli import connection
from cli.trouble import Away
from ledger.event_log.port import LogUnavailable, Topic, Topics
from ledger.event_log.volumes import Volume, volumes
from ledger.settings import Settings
from projector.capacity import looking
from projector.capacity.forecast import Pace, Store
from projector.capacity.looking import History

DISK: Final = "disk"


class Capacity(Struct, frozen=True, kw_only=True):
    """What was seen. `sizes`: bytes of each topic, all copies. `away`: what doesn't tell."""

    past: History
    sizes: Mapping[Topic, int]
    stores: Sequence[Store]
    away: Sequence[str]


async def look(settings: Settings, data: Path | None) -> Capacity:
    """Look at everything; `data`: the folder of the local run, None of a ledger elsewhere.

    Raises `Away` where Kafka doesn't answer: it alone knows how fast anything grows.
    """
    log = connection.new_log(settings)
    try:
        past = await looking.history(log, await looking.began_ms(log))
        found = await volumes(settings.kafka)
    except LogUnavailable as error:
        raise Away(str(error)) from None
    finally:
        await log.close()
    topics = Topics(prefix=settings.topic_prefix)
    told = await asyncio.gather(
        *(_redis(number, url, past) for number, url in enumerate(settings.replicas))
    )
    brokers = looking.brokers(found, topics, past)
    copy = [] if not settings.local_copy else [_local_copy(settings, past)]
    replicas = [store for store, _ in told]
    stores = [*brokers, *replicas, *copy]
    if data is not None:
        stores.append(disk(data, [*brokers, *copy], sum(file for _, file in told), past))
    return Capacity(
        past=past,
        sizes=_sizes(found, topics),
        stores=stores,
        away=[store.name for store in (*brokers, *replicas) if store.room is None],
    )


async def _redis(number: int, url: str, past: History) -> tuple[Store, int]:
    """A replica, and the bytes of its append-only file."""
    letter = chr(ord("A") + number)
    try:
        info = await looking.redis_info(url)
    except NoPermissionError:
        return Store(name=f"redis-{letter}", unknown="this user may not call INFO"), 0
    except (RedisError, OSError, TimeoutError) as error:
        why = f"it doesn't answer ({type(error).__name__})"
        return Store(name=f"redis-{letter}", unknown=why), 0
    return looking.redis(letter, info, past), int(info.get("aof_current_size", 0))


def _local_copy(settings: Settings, past: History) -> Store:
    try:
        return looking.local_copy(Path(settings.local_copy), settings.local_copy_max_bytes, past)
    except OSError:
        return Store(name="local-copy", unknown=f"none in {settings.local_copy} on this host")


def disk(data: Path, stores: Sequence[Store], files: int, past: History) -> Store:
    """The local run's disk, with all that grows on it. `files`: bytes of append-only files."""
    every = [store.paces for store in stores if store.paces]
    if past.licenses >= looking.LICENSES_MIN:
        every.append(past.paces_by_license(files))
    usage = shutil.disk_usage(data)
    return Store(
        name=DISK,
        used=files + sum(store.used or 0 for store in stores),
        size=usage.total,
        room=usage.free,
        paces=[
            Pace(bytes_a_day=sum(one.bytes_a_day for one in together), span_s=together[0].span_s)
            for together in zip(*every, strict=True)
        ],
    )


def _sizes(found: Sequence[Volume], topics: Topics) -> dict[Topic, int]:
    return {
        topic: sum(
            size
            for volume in found
            for (name, _), size in volume.sizes.items()
            if name == topics.name(topic)
        )
        for topic in Topic
    }
