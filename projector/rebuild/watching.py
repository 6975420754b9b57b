"""Watching over a rebuild: how far it is, how what serves fares meanwhile, and what it may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from projector.read_model.keys import Keys
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.building import Gate
from projector.rebuild.intent import NOTHING
from projector.rebuild.progress import (
    PROGRESS_KEY,
    PROGRESS_TTL_S,
    Progress,
    Rate,
    Work,
    progress_document,
)
from projector.rebuild.room import Room, mb, room_of
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.store import Store
from projector.views.documents import read_head

EVERY_S: Final = 0.5
AGE_MAX_MS: Final = 2_000
"""Where what serves is older than this, whatever builds holds still."""
PING_MAX_MS: Final = 25.0
"""Where its Redis takes longer than this to answer, as well: so does a check."""
STILL_S: Final = 60.0
"""A rebuild that gets no further for so long gives up."""
_PINGS: Final = 3
_YIELDS: Final = frozenset({"building", "catching up", "reading back"})
"""Phases that wait for what serves; afterwards it is as fast as it can."""
_GROWS: Final = frozenset({"building", "catching up", "comparing"})
_AGAIN: Final = "the same command again goes on where it was"


class Watch:
    """Looks every half second; `tell` is told each time, and whoever asks the replica.

    `gate`: holds up whatever builds while what serves needs the machine. `builder_bytes`,
    `too_large`: as whoever has builders says.
    """

    def __init__(self, site: Site, tell: Callable[[Progress], None]) -> None:
        self.phase = "starting"
        self.work = Work(0, NOTHING)
        self.held = False
        self.gate = Gate()
        self.builder_bytes = 0
        self.too_large: tuple[int, ...] = ()
        self._site = site
        self._tell = tell
        self._began = self._moved = time.monotonic()
        self._done: tuple[object, ...] = ()
        self._events, self._keys = Rate(), Rate()
        self._room: Room | None = None
        self._lag_ms, self._ping_ms = 0, 0.0

    def begin(self, work: Work) -> None:
        """Watch over this work, from now on."""
        self.work, self._began, self._events = work, time.monotonic(), Rate()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Look once, and tell; of a Redis that is away others will hear."""
        with suppress(ReadModelUnavailableError):
            await self._look()

    async def see_to_room(self, more: int = 0) -> None:
        """Look now. Raises `RebuildRefusedError` where there is no room for so many bytes more."""
        self._room = room_of(await self._site.store.info())
        if not self._room.takes(more):
            raise RebuildRefusedError(
                f"{_mb_more(more)}{self._room.said()}: raise maxmemory, and {_AGAIN}; or "
                "`ledger rebuild cancel` deletes what was built, which frees it"
            )

    def check(self) -> None:
        """Raise `RebuildRefusedError` where it can't go on: no room, or nothing moves."""
        if self._room is not None and self._room.is_tight and self.phase in _GROWS:
            raise RebuildRefusedError(
                f"it was stopped, before what serves would suffer: {self._room.said()}. Raise "
                f"maxmemory, and {_AGAIN}; or `ledger rebuild cancel` deletes what was built, "
                "which frees it"
            )
        work, now = self.work, time.monotonic()
        done = (self.phase, work.events, work.written, work.read)
        if done != self._done or self.phase not in _YIELDS:
            self._done, self._moved = done, now
        elif now - self._moved > STILL_S:
            raise RebuildRefusedError(
                f"{self.phase}: it gets no further since {now - self._moved:.0f} s. {self._why()}; "
                f"{_AGAIN}"
            )

    def _why(self) -> str:
        if self._lag_ms > AGE_MAX_MS:
            return (
                f"What serves is {self._lag_ms / 1000:.0f} s old, and comes first above "
                f"{AGE_MAX_MS / 1000:.0f} s: see whether the replica's projector runs "
                "(`ledger doctor`)"
            )
        if self._ping_ms > PING_MAX_MS:
            return (
                f"The Redis takes {self._ping_ms:.0f} ms to answer, and what serves comes first "
                f"above {PING_MAX_MS:.0f} ms: see what keeps it busy"
            )
        return "See whether the broker and the Redis are well (`ledger doctor`)"

    async def _look(self) -> None:
        store = self._site.store
        self._room = room_of(await store.info())
        self._lag_ms, now_ms = await lag_ms(self._site)
        self._ping_ms = await ping_ms(store)
        slow = self._lag_ms > AGE_MAX_MS or self._ping_ms > PING_MAX_MS
        self.held = slow and self.phase in _YIELDS
        if self.held:
            self.gate.close()
        else:
            self.gate.open()
        work = self.work
        if not work.begun:
            # Starting the processes tells nothing of how fast they will be.
            self._began = time.monotonic()
        now, keys = time.monotonic(), work.written + work.read
        if self.phase in {"building", "catching up"}:
            self._events.see(now, work.events)
        self._keys.see(now, keys)
        progress = Progress(
            phase=self.phase,
            at_ms=now_ms,
            percent=round(100 * work.share, 1),
            events=work.events,
            events_total=work.events_total,
            events_per_s=self._events.per_s,
            keys=keys,
            keys_per_s=self._keys.per_s,
            left_s=work.left_s(now - self._began),
            lag_ms=self._lag_ms,
            ping_ms=self._ping_ms,
            memory_bytes=self._room.used,
            builder_bytes=self.builder_bytes,
            held=self.held,
            too_large=self.too_large,
        )
        self._tell(progress)
        await store.put(PROGRESS_KEY, progress_document(progress), ttl_s=PROGRESS_TTL_S)


async def lag_ms(site: Site) -> tuple[int, int]:
    """Age of what serves, and what time it is there. Raises `ReadModelUnavailableError`."""
    serving = await site.store.serving(site.places)
    names = [Keys(place, generation).head for place, generation in serving.items()]
    heads = [read_head(one) for one in await site.store.get(names) if one is not None]
    now_ms = await site.store.time_ms()
    aged = (now_ms - head.level_at_ms for head in heads if head.level_at_ms)
    return max(aged, default=0), now_ms


async def ping_ms(store: Store) -> float:
    """What a Redis takes to answer: the least of a few, since others share this processor."""
    took = []
    for _ in range(_PINGS):
        began = time.monotonic()
        await store.ping()
        took.append(time.monotonic() - began)
    return round(1000 * min(took), 1)


def _mb_more(more: int) -> str:
    return f"what is left to build takes {mb(more)}, and " if more else ""
