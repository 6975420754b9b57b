"""A look every minute at what the projector's replica, and the log, are stored in.

What it finds are metrics, and an alarm days before something is full, as
docs/operations/capacity.md has it. Every projector looks for itself: whichever runs, one tells.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Gauge

from ledger.event_log.port import LogError, TimedLog, Topics
from ledger.event_log.volumes import volumes
from projector.capacity import looking
from projector.capacity.forecast import Outlook, Seen, Store, is_alarming, outlook
from projector.capacity.looking import History
from projector.capacity.wording import told
from projector.logs import alarm, say
from projector.settings import LOCAL, ProjectorSettings

EVERY_S: Final = 60.0
HISTORY_EVERY_S: Final = 600.0
"""The log is asked by the connection that tells whether all is level: no more often than needed."""
ALARM_EVERY_S: Final = 6 * 3600.0
ALARMS: Final = {"kafka": "kafka-filling", "redis": "redis-filling", "local": "local-copy-filling"}
"""By what a store's name begins with."""
T = TypeVar("T")
_log: Final = logging.getLogger(__name__)


class CapacityWatch:
    """Looks at the brokers, and at one projector's Redis or file."""

    def __init__(
        self, settings: ProjectorSettings, log: TimedLog, registry: CollectorRegistry
    ) -> None:
        self._settings = settings
        self._events_log = log
        self._began: int | None = None
        self._past = looking.NOTHING
        self._past_until = 0.0
        self._told = Told(registry)
        self._said: dict[str, str] = {}

    async def run(self) -> None:
        """Go on until cancelled, whatever is away: others tell of that."""
        while True:
            self._told.tell(await self.look(), time.monotonic())
            await asyncio.sleep(EVERY_S)

    async def look(self) -> list[Store]:
        """Look once, at whatever can be seen."""
        if time.monotonic() >= self._past_until:
            past = await self._part("the log's growth", self._history)
            if past is not None:
                self._past, self._past_until = past, time.monotonic() + HISTORY_EVERY_S
        return [
            *(await self._part("the brokers' disks", self._brokers) or ()),
            *(await self._part("the replica", self._replica) or ()),
        ]

    async def _part(self, what: str, look: Callable[[], Awaitable[T]]) -> T | None:
        """Look at a part; say once that it can't be seen. Nothing of it ends the projector."""
        try:
            found = await look()
        except Exception as error:  # noqa: BLE001 - it is said, and looked at again
            # Not what a Redis or the system says: that may have more in it than one may know.
            why = str(error) if isinstance(error, LogError) else type(error).__name__
            if self._said.get(what) != why:
                say(_log, logging.WARNING, f"{what} can't be told: {why}")
            self._said[what] = why
            return None
        self._said.pop(what, None)
        return found

    async def _history(self) -> History:
        if self._began is None:
            self._began = await looking.began_ms(self._events_log)
        return await looking.history(self._events_log, self._began)

    async def _brokers(self) -> list[Store]:
        shared = self._settings.shared
        found = await volumes(shared.kafka)
        return looking.brokers(found, Topics(prefix=shared.topic_prefix), self._past)

    async def _replica(self) -> list[Store]:
        shared = self._settings.shared
        if self._settings.replica == LOCAL:
            folder, limit = Path(shared.local_copy), shared.local_copy_max_bytes
            return [looking.local_copy(folder, limit, self._past)]
        info = await looking.redis_info(self._settings.url)
        return [looking.redis(self._settings.replica, info, self._past)]


class Told:
    """What was told of stores: gauges, and alarms that come again while nobody sees to it.

    `alarms`: how an alarm is raised; another one in tests.
    """

    def __init__(
        self, registry: CollectorRegistry, alarms: Callable[[str, str, str], None] | None = None
    ) -> None:
        self._room = _gauge(registry, "room_bytes", "Bytes left")
        self._size = _gauge(registry, "size_bytes", "Bytes of all of it")
        self._days = _gauge(
            registry, "days_to_full", "Days until it may be full; +Inf where that isn't in sight"
        )
        self._alarm = alarms or _raise_alarm
        self._seen: dict[str, Seen] = {}
        self._alarmed: dict[str, float] = {}

    def tell(self, stores: Sequence[Store], now_s: float) -> None:
        """Tell of a look; `now_s`: a clock that never goes back."""
        for gauge in (self._room, self._size, self._days):
            gauge.clear()
        for each in stores:
            store = self._with_seen(each, now_s)
            found = outlook(store)
            if store.room is not None:
                self._room.labels(store.name).set(store.room)
            if store.size is not None:
                self._size.labels(store.name).set(store.size)
            if not found.unknown:
                self._days.labels(store.name).set(_days(found))
            if not is_alarming(store):
                self._alarmed.pop(store.name, None)
            elif now_s - self._alarmed.get(store.name, -ALARM_EVERY_S) >= ALARM_EVERY_S:
                self._alarmed[store.name] = now_s
                self._alarm(ALARMS[store.name[:5]], store.name, told(store))

    def _with_seen(self, store: Store, now_s: float) -> Store:
        """Add how fast it was seen to fill here, by whatever it was."""
        if store.room is None:
            return store
        seen = self._seen.setdefault(store.name, Seen())
        seen.note(now_s, store.room)
        paces = seen.paces()
        return replace(store, paces=(*store.paces, *paces), unknown="" if paces else store.unknown)


def _gauge(registry: CollectorRegistry, name: str, meaning: str) -> Gauge:
    return Gauge(f"ledger_capacity_{name}", meaning, ["store"], registry=registry)


def _days(found: Outlook) -> float:
    return float("inf") if found.earliest is None else found.earliest


def _raise_alarm(name: str, store: str, text: str) -> None:
    alarm(_log, name, text, store=store)
