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
from projector.rebuild.disk import Disk, disk_of
from projector.rebuild.effect import Effect, while_building
from projector.rebuild.elsewhere import objections
from projector.rebuild.intent import Foreseen, Intent
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.room import Room, mb, room_of
from projector.rebuild.sampling import Sampling
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.watching import AGE_MAX_MS

MEMORY_MB_MIN: Final = 96
"""What a builder must be allowed at least: before it folds anything it takes nearly as much."""
_BUILDER_BYTES: Final = 90 << 20
_READ_BACK_S: Final = 2.0
_ELSE_S: Final = 4.0
"""Starting builders, catching up, comparing, flipping, handing over."""
_SPARE: Final = 1.2
"""What is foreseen may be wrong by a fifth, so that much more has to be there."""
_FORK_SHARE: Final = 0.2
"""Of all memory is written, at most, while a fork rewrites the file: each page is copied then."""


class Plan(Struct, frozen=True, kw_only=True):
    """What a rebuild of one replica will need, and what forbids it (`reasons`; empty: nothing).

    `keys`, `licenses`: how many the new generation has. `redis_bytes`: it takes;
    `redis_free_bytes`: there are until `maxmemory` (None: there is no limit), of which
    `reserve_bytes` stay for what serves. `fork_bytes`: more, while the append-only file is
    rewritten. `file_bytes`: that file grows by so much; `disk_bytes`: at most, while it is written
    anew beside; `disk_free_bytes`: there are (None: that can't be seen from here). `builder_bytes`:
    each builder takes. `foreseen`: seconds by kind of work. `effect`: on what serves; builders hold
    still while it is older than `lag_limit_ms`.
    """

    generation: str
    previous: str
    events: int
    licenses: int
    keys: int
    redis_bytes: int
    redis_free_bytes: int | None
    reserve_bytes: int
    fork_bytes: int
    file_bytes: int
    disk_bytes: int
    disk_free_bytes: int | None
    builder_bytes: int
    builders: int
    events_per_s: float
    foreseen: Foreseen
    effect: Effect
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
    building = Builders(
        environment,
        replica=site.replica,
        count=builders,
        memory_mb=memory_mb,
        tell=lambda _: None,
    )
    effect, paces = await while_building(site, building.pace(previous, partitions))
    reading_back = ReadingBack(site.store, site.weigher, previous, site.places)
    read_s = await reading_back.key_s(_READ_BACK_S)
    info = await site.store.info()
    room, disk = room_of(info), await disk_of(site, info)
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
        bytes=sample.bytes,
    )
    made = Plan(
        generation=str(int(previous) + 1),
        previous=previous,
        events=events,
        licenses=sample.licenses,
        keys=keys,
        redis_bytes=sample.bytes,
        redis_free_bytes=room.free,
        reserve_bytes=room.reserve,
        fork_bytes=_fork_bytes(info, sample.bytes),
        file_bytes=sample.file_bytes if disk.writes else 0,
        disk_bytes=disk.needed(sample.file_bytes),
        disk_free_bytes=disk.free,
        builder_bytes=round(_BUILDER_BYTES + max(one.event_bytes for one in paces) * largest),
        builders=builders,
        events_per_s=round(events / max(foreseen.folding_s + foreseen.writing_s, 0.1), 1),
        foreseen=foreseen,
        effect=effect,
        lag_limit_ms=AGE_MAX_MS,
        reasons=(),
    )
    intent = await site.store.intent()
    reasons = _reasons(made, info, room, disk, memory_mb, intent)
    return replace(made, reasons=[*reasons, *await objections(site)])


def _longest(sizes: Sequence[int], builders: int) -> int:
    """The most that one of the builders has to do, which take the largest first."""
    loads = [0] * builders
    for size in sizes:
        heapreplace(loads, loads[0] + size)
    return max(loads)


def _fork_bytes(info: Mapping[str, Any], more: int) -> int:
    """What is copied while a fork writes all that there is then."""
    last = max(int(info.get(name, 0)) for name in ("aof_last_cow_size", "rdb_last_cow_size"))
    return max(last, round(_FORK_SHARE * (int(info.get("used_memory", 0)) + more)))


def _reasons(
    made: Plan,
    info: Mapping[str, Any],
    room: Room,
    disk: Disk,
    memory_mb: int,
    intent: Intent | None,
) -> list[str]:
    """What forbids it, each with its numbers and the way out."""
    found = []
    if intent is not None:
        found.append(
            f"a rebuild is under way, of generation {intent.generation} ({intent.phase}): "
            "`ledger rebuild status` says how it goes on or ends"
        )
    if made.effect.lag_ms > AGE_MAX_MS:
        found.append(
            f"what serves is {made.effect.lag_ms / 1000:,.1f} s old, and builders hold still while "
            f"it is older than {AGE_MAX_MS / 1000:.0f} s: see whether the replica's projector runs "
            "and gets on (`ledger doctor`)"
        )
    spared = round(_SPARE * made.redis_bytes)
    if room.most is not None and not room.takes(spared):
        found.append(
            f"it needs {mb(made.redis_bytes)} beside what is there, and a fifth to spare; "
            f"{room.said()}: raise maxmemory to {mb(_enough(room.used + spared))} or more"
        )
    memory = int(info.get("total_system_memory", 0))
    needed = int(info.get("used_memory_rss", 0)) + made.redis_bytes + made.fork_bytes
    if memory and needed > memory:
        found.append(
            f"the Redis would take {mb(needed)}, {mb(made.fork_bytes)} of that while its file is "
            f"rewritten, and its host has {mb(memory)}: give it more"
        )
    if disk.free is not None and _SPARE * made.disk_bytes > disk.free:
        found.append(
            f"the append-only file takes up to {mb(made.disk_bytes)} more while it is rewritten, "
            f"and a fifth to spare, and {disk.where} has {mb(disk.free)} free: make room there"
        )
    if made.builder_bytes > memory_mb << 20:
        found.append(
            f"a builder would take {mb(made.builder_bytes)} for the largest partition, and may "
            f"take {mb(memory_mb << 20)}: allow more (--memory-mb)"
        )
    return found


def _enough(bytes_: int) -> int:
    """A limit below which so much, and what is kept, have their place."""
    most = bytes_
    while Room(used=bytes_, most=most).is_tight:
        most += max(1 << 20, most // 100)
    return most
