"""What a rebuild will need, before anything is begun.

The new generation will hold what the serving one holds, so that is what is weighed. The rates are
those of folding a part of the log and of reading some keys, now and on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from projector.read_model.keys import Keys
from projector.rebuild.building import memory_bytes
from projector.rebuild.bulk import BulkFold
from projector.rebuild.rendering import Rendering
from projector.rebuild.sampling import Sampling
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.watching import AGE_MAX_MS

SAMPLE_EVENTS: Final = 20_000
_SAMPLE_S: Final = 3.0
_READ_KEYS: Final = 5_000
_WRITE_TO_READ: Final = 1.2
_READ_BACK_TO_READ: Final = 2.5
"""Reading back is more than a read: lists, and what the documents say."""
_ELSE_S: Final = 10.0
"""Starting builders, catching up, comparing, flipping, handing over."""
_BUILDER_BYTES: Final = 90 << 20


class Plan(Struct, frozen=True, kw_only=True):
    """What a rebuild of one replica will need, and what forbids it (`reasons`; empty: nothing).

    `keys`, `licenses`: how many the new generation has. `redis_bytes`: it takes;
    `redis_free_bytes`: there are until `maxmemory` (None: there is no limit). `file_bytes`: the
    append-only file grows by so much, and takes it once more while it is rewritten.
    `builder_bytes`: each builder takes. `seconds`: by phase. `lag_ms`: age of what serves now;
    builders hold still while it is above `lag_limit_ms`.
    """

    generation: str
    previous: str
    events: int
    licenses: int
    keys: int
    redis_bytes: int
    redis_free_bytes: int | None
    file_bytes: int
    builder_bytes: int
    builders: int
    events_per_s: float
    seconds: Mapping[str, float]
    lag_ms: int
    lag_limit_ms: int
    reasons: Sequence[str]


async def plan(site: Site, *, builders: int, memory_mb: int) -> Plan:
    """Foresee a rebuild. Raises `RebuildRefusedError` where there is nothing to rebuild."""
    serving = set((await site.store.serving(site.places)).values())
    if len(serving) != 1:
        raise RebuildRefusedError(
            "this replica isn't served from one generation: start its projector, or end the "
            "rebuild that is under way (`ledger rebuild status`)"
        )
    [previous] = serving
    ends = await site.ends()
    events = sum(end for place, end in ends.items() if place >= 0)
    sample = await Sampling(site.store, previous, site.places).run()
    keys = sample.keys
    largest = max((end for place, end in ends.items() if place >= 0), default=0)
    rates = await _rates(site, previous, ends)
    info = await site.store.info()
    lag_ms = await _lag_ms(site, previous)
    seconds = {
        "building": round((events * rates.fold_s + keys * rates.write_s) / builders, 1),
        "reading back": round(keys * rates.read_s, 1),
        "all else": _ELSE_S,
    }
    made = Plan(
        generation=str(int(previous) + 1),
        previous=previous,
        events=events,
        licenses=sample.licenses,
        keys=keys,
        redis_bytes=sample.bytes,
        redis_free_bytes=_free(info),
        file_bytes=sample.bytes,
        builder_bytes=round(_BUILDER_BYTES + rates.bytes_an_event * largest),
        builders=builders,
        events_per_s=round(events / max(seconds["building"], 0.1), 1),
        seconds=seconds,
        lag_ms=lag_ms,
        lag_limit_ms=AGE_MAX_MS,
        reasons=(),
    )
    return replace(made, reasons=_reasons(made, info, memory_mb))


class _Rates(Struct, frozen=True, kw_only=True):
    """Seconds for a record folded and rendered, a key written, a key read back; and memory."""

    fold_s: float
    write_s: float
    read_s: float
    bytes_an_event: float


async def _rates(site: Site, generation: str, ends: Mapping[int, int]) -> _Rates:
    """Fold a part of the largest partition, and read some keys; nothing is written."""
    partition = max((place for place in ends if place >= 0), key=lambda place: ends[place])
    folding = BulkFold(partition, site.settings.partitions)
    memory, began, spent = memory_bytes(), time.monotonic(), 0.0
    stop = min(SAMPLE_EVENTS, ends[partition])
    async with aclosing(site.records.messages(partition, stop=stop)) as runs:
        async for records in runs:
            at = time.perf_counter()
            folding.take(records)
            spent += time.perf_counter() - at
            if time.monotonic() - began > _SAMPLE_S:
                break
    rendering = Rendering(folding.held, Keys(partition, generation), site.weigher)
    at = time.perf_counter()
    rendered = [key for key, _ in rendering.strings()]
    for _ in rendering.sorted_sets():
        pass
    spent += time.perf_counter() - at
    grown = max(0, memory_bytes() - memory)
    names = list(islice(rendered, _READ_KEYS))
    at = time.perf_counter()
    for first in range(0, len(names), 500):
        values = await site.store.get(names[first : first + 500])
        for name, value in zip(names[first : first + 500], values, strict=True):
            site.weigher.weigh(name, value or b"")
    read_s = (time.perf_counter() - at) / max(1, len(names))
    events = max(1, folding.position)
    return _Rates(
        fold_s=spent / events,
        write_s=read_s * _WRITE_TO_READ,
        read_s=read_s * _READ_BACK_TO_READ,
        bytes_an_event=grown / events,
    )


async def _lag_ms(site: Site, generation: str) -> int:
    heads, now_ms = await site.heads(generation), await site.store.time_ms()
    return max((now_ms - one.level_at_ms for one in heads.values() if one.level_at_ms), default=0)


def _free(info: Mapping[str, Any]) -> int | None:
    most = int(info.get("maxmemory", 0))
    return most - int(info.get("used_memory", 0)) if most else None


def _reasons(made: Plan, info: Mapping[str, Any], memory_mb: int) -> list[str]:
    """What forbids it, each with its numbers and the way out."""
    found = []
    if made.redis_free_bytes is not None and made.redis_bytes > made.redis_free_bytes:
        most = int(info["maxmemory"])
        found.append(
            f"it needs {_mb(made.redis_bytes)} beside what is there, and the Redis has "
            f"{_mb(made.redis_free_bytes)} free of maxmemory {_mb(most)}: raise maxmemory to "
            f"{_mb(int(1.25 * (most - made.redis_free_bytes + made.redis_bytes)))} or more"
        )
    memory = int(info.get("total_system_memory", 0))
    needed = int(info.get("used_memory_rss", 0)) + made.redis_bytes
    if memory and needed > memory:
        found.append(
            f"the Redis would take {_mb(needed)}, and its host has {_mb(memory)}: give it more"
        )
    if made.builder_bytes > memory_mb << 20:
        found.append(
            f"a builder would take {_mb(made.builder_bytes)} for the largest partition, and may "
            f"take {memory_mb} MB: allow more (--memory-mb)"
        )
    return found


def _mb(count: int) -> str:
    return f"{count / (1 << 20):,.0f} MB"
