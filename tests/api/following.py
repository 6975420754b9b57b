"""A projector in this process: folds a log in memory into a real store, and can be held still."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from api.ending import end
from ledger.event_log import genesis
from ledger.event_log.genesis import Genesis
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import LogError, Record, Topic
from ledger.sealing.records import read_record_key
from projector.catalog_folding import fold_catalog_batch
from projector.catalog_loading import load_catalog
from projector.catalog_reading import read_catalog
from projector.folding import elapsed_after, fold_batch
from projector.loaded import Documents
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import LevelMark, ReadModel, ReadModelError
from projector.reading import Reader
from projector.views.digests import digests_at
from projector.views.documents import Head, read_head
from tests.projector.weighing import WEIGHER

_POLL_S = 0.002
_LEVEL_S = 0.02


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Follower:
    """Keeps one replica level with the log, while `still` and `mute` are False.

    `still`: folds nothing. `mute`: never says that it is level.
    """

    def __init__(self, log: MemoryLog, model: ReadModel, first: Genesis) -> None:
        self.still = False
        self.mute = False
        self._turn = asyncio.Lock()
        self._log = log
        self._model = model
        self._first = first
        self._weigher = WEIGHER
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Store the genesis records, fold what there is, say that it is level; then follow."""
        for partition in range(self._first.partitions):
            own = genesis.encode(replace(self._first, partition=partition))
            await self._model.put(keys.genesis(partition), own)
        await self._fold_all()
        await self._level()
        self._task = asyncio.create_task(self._follow())

    async def hold_still(self) -> None:
        """Fold nothing more, not even what was begun."""
        self.still = True
        async with self._turn:
            pass

    async def stop(self) -> None:
        if self._task is not None:
            await end((self._task,))
        await self._model.close()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                async with self._turn:
                    if not self.still:
                        await self._fold_all()
                        if loop.time() >= due:
                            await self._level()
                            due = loop.time() + _LEVEL_S
            except (ReadModelError, LogError):
                pass
            await asyncio.sleep(_POLL_S)

    async def _fold_all(self) -> None:
        heads = await self._heads()
        for partition, head in enumerate(heads):
            records = await self._records(Topic.LICENSE_EVENTS, partition, head.position)
            if records:
                await self._fold(partition, head, records)
        await self._fold_catalog()
        for partition in range(self._first.partitions):
            await self._take_over(partition)

    async def _fold(self, partition: int, head: Head, records: Sequence[Record]) -> None:
        names = Keys(partition)
        documents = Documents(names, self._weigher)
        documents.digests = digests_at(head.position, (await self._model.get([names.digests]))[0])
        reading = Reader(partition, self._first.partitions).read(_entries(records))
        documents.begin()
        documents.take(reading, await self._model.get(documents.missing(reading)))
        elapsed_ms = elapsed_after(reading.entries, head)
        wanted = documents.fronts(reading, elapsed_ms)
        if wanted:
            sets = {names.commands(id_): count for id_, count in wanted.items()}
            documents.take_fronts(wanted, await self._model.fronts(sets))
        folding = fold_batch(reading.entries, head, documents, names)
        await self._model.apply(folding.batch)

    async def _fold_catalog(self) -> None:
        [document] = await self._model.get([Keys(keys.CATALOG).head])
        head = Head() if document is None else read_head(document)
        records = await self._records(Topic.CATALOG_EVENTS, 0, head.position)
        if records:
            reading = read_catalog(_entries(records))
            names, elapsed_ms = Keys(keys.CATALOG), elapsed_after(reading.entries, head)
            at_hand = await load_catalog(self._model, names, reading, elapsed_ms)
            folding = fold_catalog_batch(reading, head, at_hand, names, self._weigher)
            await self._model.apply(folding.batch)

    async def _take_over(self, partition: int) -> None:
        [stored] = await self._model.get([keys.data_keys_position(partition)])
        start = int(stored or b"0")
        records = await self._records(Topic.LICENSE_DATA_KEYS, partition, start)
        values = {}
        for record in records:
            named = read_record_key(record.key)
            if named is not None:
                values[keys.data_key(partition, *named)] = record.value or b""
        if records:
            await self._model.take_over(partition, start, records[-1].offset + 1, values)

    async def _level(self) -> None:
        if self.mute:
            return
        at_ms = await self._model.time_ms()
        ends = await self._log.ends(Topic.LICENSE_EVENTS)
        marks = [
            LevelMark(partition=partition, end=end, at_ms=at_ms) for partition, end in ends.items()
        ]
        catalog = (await self._log.ends(Topic.CATALOG_EVENTS))[0]
        marks.append(LevelMark(partition=keys.CATALOG, end=catalog, at_ms=at_ms))
        await self._model.level(marks)

    async def _heads(self) -> list[Head]:
        names = [Keys(partition).head for partition in range(self._first.partitions)]
        return [Head() if one is None else read_head(one) for one in await self._model.get(names)]

    async def _records(self, topic: Topic, partition: int, start: int) -> list[Record]:
        return [
            one async for batch in self._log.read(topic, partition, start=start) for one in batch
        ]


def _entries(records: Sequence[Record]) -> list[_Entry]:
    return [_Entry(one.offset, one.timestamp_ms, one.key, one.value) for one in records]
