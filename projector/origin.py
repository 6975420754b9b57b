"""The log's beginning: whether each partition is this ledger's, by its genesis record.

What was compared is kept in the replica, so that a process of the API can start without Kafka; and
a replica that was filled from another ledger is recognized by it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from msgspec.structs import replace

from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.port import (
    EventLog,
    ForeignLog,
    LostRecords,
    MissingTopic,
    NotInitialized,
    Topic,
)
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.port import ReadModel
from projector.session import Stopped

FRESH_S: Final = 30.0
"""A partition that was compared so lately isn't read again when it is assigned."""
_AT_ONCE: Final = 4


class Origin:
    """Compares genesis records with this process' settings, and with the replica's."""

    def __init__(self, log: EventLog, model: ReadModel, settings: Settings) -> None:
        self._log = log
        self._model = model
        self._pepper_check = settings.pepper.check_value
        self._partitions = settings.partitions
        self._first: Genesis | None = None
        self._compared_at: dict[int, float] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)

    async def compare_all(self) -> None:
        """Compare every partition of every topic; raises `ForeignLog`, and what reading raises."""
        self._first = await genesis.verify(
            self._log, pepper_check=self._pepper_check, partitions=self._partitions
        )
        for partition in range(self._partitions):
            await self._keep(replace(self._first, partition=partition))
            self._compared_at[partition] = time.monotonic()
        self._compared_at[keys.CATALOG] = time.monotonic()

    async def compare(self, partition: int) -> None:
        """Compare a partition that was assigned, or `CATALOG`; raises `Stopped` where foreign."""
        fresh = time.monotonic() - self._compared_at.get(partition, -FRESH_S) < FRESH_S
        try:
            if not fresh:
                await self._compare_with_log(partition)
                self._compared_at[partition] = time.monotonic()
            if partition != keys.CATALOG and self._first is not None:
                # However lately that was: the replica may have come back empty since.
                await self._keep(replace(self._first, partition=partition))
        except ForeignLog as error:
            raise Stopped("foreign-log", str(error)) from None
        except (LostRecords, MissingTopic, NotInitialized) as error:
            raise Stopped("log-replaced", str(error)) from None

    async def _compare_with_log(self, partition: int) -> None:
        of_catalog = partition == keys.CATALOG
        topic = Topic.CATALOG_EVENTS if of_catalog else Topic.LICENSE_EVENTS
        number = 0 if of_catalog else partition
        async with self._limit:
            found = await genesis.read_genesis(self._log, topic, number)
        if self._first is None or found != replace(self._first, partition=number):
            raise ForeignLog(f"{topic}, {number}, is another ledger's, {found.ledger}")

    async def _keep(self, found: Genesis) -> None:
        key = keys.genesis(found.partition)
        [kept] = await self._model.get([key])
        if kept is None:
            await self._model.put(key, genesis.encode(found))
        elif genesis.decode(kept) != found:
            raise ForeignLog(
                f"the replica was filled from another ledger, {genesis.decode(kept).ledger}, and "
                f"the log is {found.ledger}: check LEDGER_REPLICAS, or empty that Redis"
            )
