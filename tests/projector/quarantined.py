"""Poison on order, for tests of what is set aside: which offsets fail, and what is discarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

from msgspec.structs import replace

from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import CatalogEvent, RecordDiscarded
from ledger.domain.events import Event
from ledger.domain.license import Folded, Loaded, fold
from ledger.event_log.catalog_codec import encode_catalog
from projector import folding
from projector.metrics import Metrics
from projector.projection import Projection
from projector.read_model.keys import Keys
from projector.read_model.port import ReadModel
from projector.reading import LogRecord, Reader
from projector.rebuild import bulk
from projector.session import Session
from projector.views.digests import digests_document, read_digests
from tests.activity import Record
from tests.projector.independent import Stored
from tests.projector.weighing import WEIGHER


class Said:
    """Discards of one partition, as a test says them."""

    def __init__(self, discarded: Collection[int] = ()) -> None:
        self._discarded = frozenset(discarded)

    def of(self, partition: int) -> frozenset[int]:
        del partition
        return self._discarded

    def add(self, discarded: Collection[int]) -> None:
        self._discarded |= frozenset(discarded)

    async def refresh(self) -> None:
        pass


@contextmanager
def failing_at(poison: Collection[int]) -> Iterator[None]:
    """Software of every kind that can't fold the records at these offsets."""

    def planted(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
        if offset in poison:
            msg = "planted"
            raise RuntimeError(msg)
        return fold(event, offset, elapsed_ms, loaded)

    with (
        patch.object(folding, "fold", planted),
        patch.object(bulk, "fold", planted),
        patch("tests.projector.independent.fold", planted),
    ):
        yield


class Feeder:
    """A partition's log, given to a session from wherever it seeks to, in runs of `piece`."""

    def __init__(self, log: Sequence[LogRecord], piece: int = 1000) -> None:
        self.log = list(log)
        self.session: Session | None = None
        self._piece = piece
        self._sought = 0

    def seek(self, offset: int) -> None:
        self._sought += 1
        asyncio.get_running_loop().call_soon(self._deliver, self._sought, offset)

    def pause(self) -> None:
        self.session = None

    def _deliver(self, number: int, offset: int) -> None:
        session = self.session
        if number != self._sought or session is None:
            return
        for at in range(offset, len(self.log), self._piece):
            session.offer(self.log[at : at + self._piece])


@asynccontextmanager
async def session_on(
    model: ReadModel,
    log: Sequence[LogRecord],
    said: Said,
    *,
    piece: int = 1000,
    metrics: Metrics | None = None,
) -> AsyncIterator[Projection]:
    """A session that has folded the log, and all that is due of what is set aside."""
    feeder = Feeder(log, piece)
    session = Projection(
        0, feeder, metrics or Metrics(), model, Reader(0, 1), _ours, WEIGHER, discards=said
    )
    feeder.session = session
    task = asyncio.create_task(session.run(lambda: None))
    done = asyncio.create_task(settled(session, len(log)))
    try:
        await asyncio.wait([task, done], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        await done
        yield session
    finally:
        done.cancel()
        session.end()
        await asyncio.wait_for(task, 30)


async def settled(session: Projection, position: int) -> None:
    """Wait until the session stands at the position, and nothing is due."""
    async with asyncio.timeout(60):
        while session.position != position or not session.sure or session.has_errand():
            assert session.stopped is None
            await asyncio.sleep(0)


def uncut(stored: Stored, partition: int = 0) -> Stored:
    """Without the cut of the digests, which a retry drops."""
    name = Keys(partition).digests
    document = stored[name]
    assert isinstance(document, bytes)
    return {**stored, name: digests_document(replace(read_digests(document), cut=None))}


def broken(log: Sequence[Record], offsets: Collection[int]) -> list[Record]:
    """The log with bytes that no software reads at these offsets."""
    return [
        Record(offset=one.offset, timestamp=one.timestamp, key=one.key, value=b"{")
        if one.offset in offsets
        else one
        for one in log
    ]


async def _ours(partition: int) -> None:
    del partition


def discard_value(partition: int, offset: int, number: int = 0) -> bytes:
    """A record's value that discards another, the `number`th of a test."""
    return encode_catalog(
        CatalogEvent(
            id=f"00000000-0000-8000-8000-1000000000{number:02d}",
            source="test",
            account=RULES_ID,
            subject=f"00000000-0000-8000-8000-2000000000{number:02d}",
            time_ms=1,
            actor="test",
            content_digest="00" * 16,
            data=RecordDiscarded(partition=partition, offset=offset),
        )
    )
