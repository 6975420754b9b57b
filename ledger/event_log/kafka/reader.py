"""Reads: the ends of a topic, and records by offset. Nothing is remembered between requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import errors

from ledger.event_log.kafka.wire import TROUBLE, Answer, Fetched, Place, Wire
from ledger.event_log.port import (
    READ_STALL_TIMEOUT_S,
    READ_TIMEOUT_S,
    LogUnavailable,
    LostRecords,
    MissingTopic,
    Record,
)

_REQUEST_TIMEOUT_S: Final = 2.0
_BACKOFF_S: Final = 0.05


class Reader:
    """Reads from the brokers over one set of connections, replaced when they fail."""

    def __init__(self, bootstrap: str, names: frozenset[str]) -> None:
        self._bootstrap = bootstrap
        self._names = names
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def ends(self, topic: str) -> dict[int, int]:
        """Ends of all partitions; see EventLog.ends."""
        places: list[Place] = []
        found: dict[int, int] = {}
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                while not places or len(found) < len(places):
                    wire = await self._open()
                    places = await self._places(wire, topic)
                    missing = [place for place in places if place.partition not in found]
                    found |= await self._ends_once(wire, missing)
        except TimeoutError:
            await self._drop(self._wire)
            raise LogUnavailable(f"no broker told the ends of {topic} in time") from None
        return dict(sorted(found.items()))

    async def read(
        self, place: Place, *, start: int, stop: int | None, contiguous: bool
    ) -> AsyncIterator[Sequence[Record]]:
        """Records of [start, stop); see EventLog.read."""
        if stop is None:
            stop = (await self.ends(place.topic))[place.partition]
        position = start
        while position < stop:
            fetched = await self._fetch(place, position, stop)
            records = [record for record in fetched.records if record.offset < stop]
            if contiguous:
                _check_contiguous(place, position, records, min(fetched.next_offset, stop))
            position = fetched.next_offset
            if records:
                yield records

    async def close(self) -> None:
        """Drop the connections, in bounded time."""
        self._closed = True
        await self._drop(self._wire)

    async def _open(self) -> Wire:
        async with self._opening:
            if self._closed:
                raise LogUnavailable("the log is closed")
            while self._wire is None:
                wire = Wire(self._bootstrap, self._names, request_timeout_s=_REQUEST_TIMEOUT_S)
                try:
                    await wire.open()
                    self._wire = wire
                except TROUBLE:
                    await asyncio.sleep(_BACKOFF_S)
                finally:
                    if self._wire is not wire:
                        await wire.abort()
            return self._wire

    async def _drop(self, wire: Wire | None) -> None:
        """Let go of connections that fail, unless another task has replaced them."""
        if wire is not None:
            if self._wire is wire:
                self._wire = None
            await wire.abort()

    async def _places(self, wire: Wire, topic: str) -> list[Place]:
        partitions = wire.partitions(topic)
        if not partitions and await wire.refresh():
            partitions = wire.partitions(topic)
            if not partitions:
                raise MissingTopic(f"there is no topic {topic}")
        return [Place(topic, partition) for partition in sorted(partitions)]

    async def _ends_once(self, wire: Wire, places: list[Place]) -> dict[int, int]:
        """Ask each leader once; partitions without an answer are left out."""
        by_node: dict[int, list[Place]] = {}
        for place in places:
            if (node := wire.leader(place)) is not None:
                by_node.setdefault(node, []).append(place)
        answers: dict[Place, Answer] = {}
        try:
            for told in await asyncio.gather(*(wire.ends(*asked) for asked in by_node.items())):
                answers |= told
        except TROUBLE:
            await self._drop(wire)
            await asyncio.sleep(_BACKOFF_S)
            return {}
        if len(answers) < len(places) or any(answer.error for answer in answers.values()):
            await wire.refresh()
            await asyncio.sleep(_BACKOFF_S)
        return {
            place.partition: answer.offset
            for place, answer in answers.items()
            if answer.error is None
        }

    async def _fetch(self, place: Place, position: int, stop: int) -> Fetched:
        """Fetch until something comes. Raises LogUnavailable, MissingTopic, LostRecords."""
        try:
            async with asyncio.timeout(READ_STALL_TIMEOUT_S):
                while True:
                    wire = await self._open()
                    fetched = await self._fetch_once(wire, place, position)
                    if fetched is not None and fetched.next_offset > position:
                        return fetched
                    if fetched is not None and fetched.error is None:
                        await self._check_end(place, stop)
        except TimeoutError:
            await self._drop(self._wire)
            raise LogUnavailable(f"{_at(place, position)} was not read in time") from None

    async def _fetch_once(self, wire: Wire, place: Place, position: int) -> Fetched | None:
        if place not in await self._places(wire, place.topic):
            raise MissingTopic(f"there is no partition {place.partition} of {place.topic}")
        node = wire.leader(place)
        try:
            fetched = None if node is None else await wire.fetch(node, place, position)
        except TROUBLE:
            await self._drop(wire)
            fetched = None
        if fetched is not None and fetched.error is errors.OffsetOutOfRangeError:
            raise LostRecords(f"{_at(place, position)} is not in the log: its records are lost")
        if fetched is None or fetched.error is not None:
            await wire.refresh()
            await asyncio.sleep(_BACKOFF_S)
        return fetched

    async def _check_end(self, place: Place, stop: int) -> None:
        end = (await self.ends(place.topic))[place.partition]
        if end < stop:
            raise LostRecords(f"{_at(place, stop)} is asked for, but the log ends at {end}")


def _check_contiguous(place: Place, position: int, records: list[Record], stop: int) -> None:
    for record in records:
        if record.offset != position:
            raise LostRecords(f"{_at(place, position)} is missing, {record.offset} follows")
        position += 1
    if position != stop:
        raise LostRecords(f"{_at(place, position)} is missing")


def _at(place: Place, offset: int) -> str:
    return f"{place.topic}, partition {place.partition}, offset {offset}"
