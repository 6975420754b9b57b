"""Which records are discarded, known to a process: read from the log's catalog, and read on."""

from __future__ import annotations

import asyncio

from ledger.event_log.discards import DiscardList
from ledger.event_log.port import EventLog


class Discards:
    """The log's discards, for all sessions of a process."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._list = DiscardList()
        self._lock = asyncio.Lock()
        self._begun = 0
        self._done = 0

    def of(self, partition: int) -> frozenset[int]:
        """Offsets of the discarded records of a partition, as far as the catalog was read."""
        return self._list.of(partition)

    async def refresh(self) -> None:
        """Read the catalog to the end that it has now. Raises `LogUnavailable`, `LostRecords`.

        Who asks while somebody reads shares the next reading.
        """
        asked = self._begun
        async with self._lock:
            if self._done > asked:
                return
            self._begun += 1
            turn = self._begun
            await self._list.read_on(self._log)
            self._done = turn
