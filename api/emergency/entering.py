"""Entering in the ledger what became of emergency orders, once the log takes writes again.

Entries wait in memory, a bounded number of them: they are for the record, and nothing rests on
them. What waits when a worker is killed is lost; the log's lines have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from api.logs import say
from ledger.emergency.entries import Entry, encode_entry
from ledger.event_log.genesis import read_genesis
from ledger.event_log.port import EventLog, LogError, MissingTopic, NotInitialized, Topic

WAITING_MAX: Final = 256
AGAIN_S: Final = 2.0

_log: Final = logging.getLogger(__name__)


class Entering:
    """Takes entries in with `add`; `run` appends them until cancelled, the oldest first.

    `closed`: why nothing may be appended now, None where it may.
    """

    def __init__(self, log: EventLog, ledger: str, closed: Callable[[], str | None]) -> None:
        self._log = log
        self._ledger = ledger
        self._closed = closed
        self._waiting: deque[Entry] = deque()
        self._there = asyncio.Event()
        self._is_ours = False
        self._said = ""

    @property
    def waiting(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    def add(self, entry: Entry) -> None:
        """Take an entry in; above `WAITING_MAX` the oldest is let go, and the log says so."""
        if len(self._waiting) >= WAITING_MAX:
            lost = self._waiting.popleft()
            say(_log, logging.WARNING, "an entry was let go: too many wait", order=lost.order)
        self._waiting.append(entry)
        self._there.set()

    async def run(self) -> None:
        """Append what waits, whatever is away."""
        while True:
            await self._there.wait()
            if not await self.flush():
                await asyncio.sleep(AGAIN_S)

    async def flush(self) -> bool:
        """Append all that waits; whether nothing waits any more."""
        try:
            while self._waiting and self._closed() is None:
                entry = self._waiting[0]
                await self._append(entry)
                # Meanwhile it may have been let go.
                if self._waiting and self._waiting[0] is entry:
                    self._waiting.popleft()
        except (MissingTopic, NotInitialized):
            self._say(f"{Topic.INCIDENT_EVENTS} is not there: `ledger init` makes it")
        except LogError as error:
            self._say(str(error))
        except Exception:  # noqa: BLE001 - whatever it is, checks go on
            _log.exception("an entry could not be made")
        if not self._waiting:
            self._there.clear()
            self._said = ""
        return not self._waiting

    async def _append(self, entry: Entry) -> None:
        """Append an entry, to this ledger's own topic only. Raises `LogError`."""
        if not self._is_ours:
            found = await read_genesis(self._log, Topic.INCIDENT_EVENTS, 0)
            if found.ledger != self._ledger:
                raise LogError(f"{Topic.INCIDENT_EVENTS} belongs to ledger {found.ledger}")
            self._is_ours = True
        key = entry.order.encode()
        await self._log.append(Topic.INCIDENT_EVENTS, 0, key=key, value=encode_entry(entry))

    def _say(self, why: str) -> None:
        """Say once why entries wait."""
        if why != self._said:
            self._said = why
            text = "entries about emergency orders wait for the log"
            say(_log, logging.WARNING, text, why=why, waiting=len(self._waiting))
