"""Watching over a rebuild: how far it is, and how what serves fares meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from projector.read_model.keys import Keys
from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild.intent import NOTHING
from projector.rebuild.progress import (
    PROGRESS_KEY,
    PROGRESS_TTL_S,
    Progress,
    Work,
    progress_document,
)
from projector.rebuild.site import Site
from projector.views.documents import read_head

EVERY_S: Final = 0.5
AGE_MAX_MS: Final = 2_000
"""Where what serves is older than this, builders hold still."""


class Watch:
    """Looks every half second; `tell` is told each time, and whoever asks the replica."""

    def __init__(self, site: Site, tell: Callable[[Progress], None]) -> None:
        self.phase = "starting"
        self.work = Work(0, NOTHING)
        self.held = False
        self._site = site
        self._tell = tell
        self._began = time.monotonic()

    def begin(self, work: Work) -> None:
        """Watch over this work, from now on."""
        self.work, self._began = work, time.monotonic()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            with suppress(ReadModelUnavailableError):
                await self._look()
            await asyncio.sleep(EVERY_S)

    async def _look(self) -> None:
        store, work = self._site.store, self.work
        serving = await store.serving(self._site.places)
        names = [Keys(place, generation).head for place, generation in serving.items()]
        heads = [read_head(one) for one in await store.get(names) if one is not None]
        now_ms = await store.time_ms()
        lag_ms = max((now_ms - head.level_at_ms for head in heads if head.level_at_ms), default=0)
        self.held = lag_ms > AGE_MAX_MS
        if not work.begun:
            # Starting the processes tells nothing of how fast they will be.
            self._began = time.monotonic()
        elapsed_s = time.monotonic() - self._began
        progress = Progress(
            phase=self.phase,
            percent=round(100 * work.share, 1),
            events=work.events,
            events_total=work.events_total,
            events_per_s=round(work.events / max(elapsed_s, EVERY_S), 1),
            keys=work.written + work.read,
            left_s=work.left_s(elapsed_s),
            lag_ms=lag_ms,
            memory_bytes=int((await store.info()).get("used_memory", 0)),
            held=self.held,
        )
        self._tell(progress)
        await store.put(PROGRESS_KEY, progress_document(progress), ttl_s=PROGRESS_TTL_S)
