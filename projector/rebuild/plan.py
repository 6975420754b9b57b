"""What a rebuild will need, before anything is begun.

The new generation will hold what the serving one holds, so that is what is weighed. The rates are
those that builders have now, side by side, with a part of the log, and of reading back some keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapreplace
from statistics import fmean
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from projector.rebuild.builders import Builders
from projector.rebuild.elsewhere import objections
from projector.rebuild.intent import Foreseen
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.sampling import Sampling
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.watching import AGE_MAX_MS

_READ_BACK_S: Final = 2.0
_ELSE_S: Final = 2.5
"""Starting builders, catching up, comparing, flipping, handing over."""
_BUILDER_BYTES: Final = 90 << 20
_KEYS_AN_EVENT: Final = 1.5
_EVENT_S, _KEY_S, _READ_S, _ELSE_GUESSED_S = 1e-4, 4e-5, 6e-5, 5.0
"""Where nobody has planned it: how many keys there will be, and what they take."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a rebuild of one replica will need, and what forbids it (`reasons`; empty: nothing).

    `keys`, `licenses`: how many the new generation has. `redis_bytes`: it takes;
    `redis_free_bytes`: there are until `maxmemory` (None: there is no limit). `file_bytes`: the
    append-only file grows by so much, and takes it once more while it is rewritten.
    `builder_bytes`: each builder takes. `foreseen`: seconds by kind of work. `lag_ms`: age of what
    serves now; builders hold still while it is above `lag_limit_ms`.
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
    foreseen: Foreseen
    lag_ms: int
    lag_limit_ms: int
    reasons: Sequence[str]


async def plan(
    site: Site, environment: Mapping[str, str], *, builders: int, memory_mb: int
) -> Plan:
    """Foresee a rebuild; `environment`: the ledger's `LEDGER_*`, for the builders.

    Raises `RebuildRefusedError` where there is nothing to rebuild, and `BuilderFailedError`.
    """
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
    partitions = sorted(
        ((place, end) for place, end in ends.items() if place >= 0), key=lambda each: -each[1]
    )
    paces = await Builders(
        environment,
        replica=site.replica,
        count=builders,
        memory_mb=memory_mb,
        tell=lambda _: None,
    ).pace(previous, partitions)
    reading_back = ReadingBack(site.store, site.weigher, previous, site.places)
    read_s = await reading_back.key_s(_READ_BACK_S)
    info = await site.store.info()
    lag_ms = await _lag_ms(site, previous)
    seen = [one.events for one in paces]
    event_s = fmean([one.event_s for one in paces], seen)
    key_s = fmean([one.key_s for one in paces], seen)
    longest = _longest([end for _, end in partitions], builders) / max(1, events)
    foreseen = Foreseen(
        keys=keys,
        folding_s=round(event_s * events * longest, 1),
        writing_s=round(key_s * keys * longest, 1),
        reading_back_s=round(read_s * keys, 1),
        else_s=_ELSE_S,
    )
    made = Plan(
        generation=str(int(previous) + 1),
        previous=previous,
        events=events,
        licenses=sample.licenses,
        keys=keys,
        redis_bytes=sample.bytes,
        redis_free_bytes=_free(info),
        file_bytes=sample.bytes,
        builder_bytes=round(_BUILDER_BYTES + max(one.event_bytes for one in paces) * largest),
        builders=builders,
        events_per_s=round(events / max(foreseen.folding_s + foreseen.writing_s, 0.1), 1),
        foreseen=foreseen,
        lag_ms=lag_ms,
        lag_limit_ms=AGE_MAX_MS,
        reasons=(),
    )
    return replace(made, reasons=[*_reasons(made, info, memory_mb), *await objections(site)])


def guessed(events: int) -> Foreseen:
    """What a rebuild takes that nobody has planned."""
    keys = round(_KEYS_AN_EVENT * events)
    return Foreseen(
        keys=keys,
        folding_s=_EVENT_S * events,
        writing_s=_KEY_S * keys,
        reading_back_s=_READ_S * keys,
        else_s=_ELSE_GUESSED_S,
    )


def _longest(sizes: Sequence[int], builders: int) -> int:
    """The most that one of the builders has to do, which take the largest first."""
    loads = [0] * builders
    for size in sizes:
        heapreplace(loads, loads[0] + size)
    return max(loads)


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
