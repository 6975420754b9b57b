"""One partition's projection: where it reads, when it drops what it has, when it stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as replace_head

from projector import projection
from projector.folding import Folding, fold_batch
from projector.loaded import Documents
from projector.metrics import Metrics
from projector.projection import Projection
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import (
    Batch,
    LevelMark,
    ReadModelCorruptError,
    ReadModelUnavailableError,
)
from projector.reading import Entry, Reader
from projector.session import Session, Stopped
from projector.views.documents import Head, head_document, read_head
from tests.activity import Activity, Record, records
from tests.projector.in_memory import head_of, project, stored_in_memory
from tests.projector.independent import independent_fold
from tests.projector.weighing import WEIGHER

LOG = records(Activity(11, partitions=1, licenses=8).appendables(900))[0]


class Broker:
    """A partition's log, read by whatever position the session seeks to; as the consumer does."""

    def __init__(self, log: Sequence[Record]) -> None:
        self.log = list(log)
        self.sought: list[int] = []
        self.paused = False
        self.session: Session | None = None

    def seek(self, offset: int) -> None:
        self.sought.append(offset)
        asyncio.get_running_loop().call_soon(self._deliver, len(self.sought), offset)

    def pause(self) -> None:
        self.paused = True

    def _deliver(self, number: int, offset: int) -> None:
        # What was read ahead before another seek is never delivered.
        if number == len(self.sought) and not self.paused and self.session is not None:
            rest = [record for record in self.log if record.offset >= offset]
            if rest:
                self.session.offer(rest)


async def _ours(partition: int) -> None:
    pass


@asynccontextmanager
async def projecting(
    model: MemoryReadModel,
    broker: Broker,
    *,
    check: Callable[[int], Awaitable[None]] = _ours,
    metrics: Metrics | None = None,
) -> AsyncIterator[Projection]:
    session = Projection(0, broker, metrics or Metrics(), model, Reader(0, 1), check, WEIGHER)
    broker.session = session
    task = asyncio.create_task(session.run(lambda: None))
    try:
        yield session
    finally:
        session.end()
        await asyncio.wait_for(task, 5)


async def reached(session: Session, position: int) -> None:
    async with asyncio.timeout(10):
        while session.position != position:
            await asyncio.sleep(0.001)


async def ended(session: Session) -> str | None:
    async with asyncio.timeout(10):
        while session.stopped is None:
            await asyncio.sleep(0.001)
    return session.stopped


async def test_from_nothing_to_the_end() -> None:
    model, broker = MemoryReadModel(), Broker(LOG)
    async with projecting(model, broker) as session:
        await reached(session, len(LOG))
        assert session.sure
    assert broker.sought == [0]
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_goes_on_where_the_store_stands_and_recognizes_the_log() -> None:
    model, broker = MemoryReadModel(), Broker(LOG)
    await project(model, LOG[:100])
    async with projecting(model, broker) as session:
        await reached(session, len(LOG))
    assert broker.sought == [99]
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


@pytest.mark.parametrize("folded", [1, 100])
@pytest.mark.parametrize(
    "change",
    [{"timestamp": 5}, {"offset": 100}, {"key": None}, {"value": b"{ }"}, {"value": None}],
    ids=str,
)
async def test_another_log_is_not_folded(change: dict[str, Any], folded: int) -> None:
    model, log = MemoryReadModel(), list(LOG)
    await project(model, LOG[:folded])
    before = dict(model.strings)
    log[folded - 1] = replace(log[folded - 1], **change)
    async with projecting(model, broker := Broker(log)) as session:
        assert await ended(session) == "log-replaced"
        assert not session.sure
    assert broker.paused
    assert model.strings == before


async def test_what_an_older_release_has_folded_is_recognized_by_its_time() -> None:
    model, log, name = MemoryReadModel(), list(LOG), Keys(0).head
    await project(model, LOG[:100])
    head = read_head(model.strings[name])
    model.strings[name] = head_document(replace_head(head, before_last=""))
    log[99] = replace(log[99], value=b"{ }")
    async with projecting(model, Broker(log)) as session:
        await reached(session, len(LOG))
    assert read_head(model.strings[name]).before_last
    model.strings[name] = head_document(replace_head(head, before_last="", timestamp_ms=5))
    async with projecting(model, Broker(log)) as session:
        assert await ended(session) == "log-replaced"


async def test_a_foreign_log_is_not_folded() -> None:
    async def foreign(partition: int) -> None:
        raise Stopped("foreign-log", f"partition {partition} is another ledger's")

    async with projecting(MemoryReadModel(), Broker(LOG), check=foreign) as session:
        assert await ended(session) == "foreign-log"


async def test_an_offset_that_the_log_does_not_have() -> None:
    model = MemoryReadModel()
    await project(model, LOG[:100])
    async with projecting(model, Broker(LOG[:100])) as session:
        await reached(session, 100)
        session.out_of_range(7)
        assert session.stopped is None
        session.out_of_range(99)
        assert await ended(session) == "log-replaced"


class Troubled(MemoryReadModel):
    """Fails some calls, before or after it did what was asked."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__()
        self.failures = failures
        self.applied: list[tuple[int, int]] = []

    async def apply(self, batch: Batch) -> int | None:
        failure = self.failures.pop(0) if self.failures else "none"
        if failure == "before":
            raise ReadModelUnavailableError("not reached")
        if failure == "corrupt":
            raise ReadModelCorruptError("a key holds another type")
        if failure == "back":
            self.strings.clear()
            self.sorted_sets.clear()
        if failure == "other writer":
            other = MemoryReadModel()
            other.strings, other.sorted_sets = self.strings, self.sorted_sets
            await project(other, LOG[batch.start : batch.start + 7])
        result = await super().apply(batch)
        if failure == "after":
            raise ReadModelUnavailableError("no answer in time")
        if result is None:
            self.applied.append((batch.start, batch.end))
        return result


@pytest.mark.parametrize("failure", ["before", "after", "back", "other writer"])
async def test_after_trouble_the_store_says_where_to_go_on(
    failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CHUNK_RECORDS", 100)
    model, broker = Troubled([failure, "none", failure, failure]), Broker(LOG)
    async with projecting(model, broker) as session:
        await reached(session, len(LOG))
    assert not model.failures
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_a_store_that_went_back_while_nothing_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, broker, metrics = MemoryReadModel(), Broker(LOG), Metrics()
    async with projecting(model, broker, metrics=metrics) as session:
        await reached(session, len(LOG))
        model.strings.clear()
        model.sorted_sets.clear()
        session.doubt()
        assert not session.sure
        async with asyncio.timeout(10):
            while head_of(model, 0).position != len(LOG):
                await asyncio.sleep(0.001)
    assert broker.sought == [0, 0]
    assert metrics.registry.get_sample_value("ledger_projector_went_back_total") == 1
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_a_key_of_another_type_stops_the_partition() -> None:
    async with projecting(Troubled(["corrupt"]), Broker(LOG)) as session:
        assert await ended(session) == "read-model-corrupt"


async def test_a_gap_seen_twice_stops_the_partition_before_it() -> None:
    model, broker = MemoryReadModel(), Broker([*LOG[:700], *LOG[701:]])
    async with projecting(model, broker) as session:
        assert await ended(session) == "lost-record"
    assert len(broker.sought) == 2
    assert head_of(model, 0).position <= 700


async def test_a_gap_seen_once_is_looked_at_again() -> None:
    model, broker = MemoryReadModel(), Broker([*LOG[:700], *LOG[701:]])
    async with projecting(model, broker) as session:
        while len(broker.sought) < 2:
            await asyncio.sleep(0)
        broker.log = list(LOG)
        await reached(session, len(LOG))
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_rules_unknown_here_stop_the_partition_before_their_record() -> None:
    value = (LOG[300].value or b"").replace(b'"rules":1', b'"rules":3')
    later = Record(offset=300, timestamp=LOG[300].timestamp, key=LOG[300].key, value=value)
    model = MemoryReadModel()
    async with projecting(model, Broker([*LOG[:300], later, *LOG[301:]])) as session:
        assert await ended(session) == "unknown-rules"
    assert stored_in_memory(model, 0) == independent_fold(LOG[:300], 0, 1)


def _failing(monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int) -> list[bool]:
    """Let the fold of batches fail some times; whether it was asked to fold with care."""
    asked: list[bool] = []

    def failing(
        entries: Sequence[Entry],
        head: Head,
        documents: Documents,
        names: Keys,
        *,
        careful: bool,
    ) -> Folding:
        asked.append(careful)
        if len(asked) <= times:
            raise error
        return fold_batch(entries, head, documents, names, careful=careful)

    monkeypatch.setattr(projection, "fold_batch", failing)
    return asked


async def test_a_batch_that_fails_is_folded_again_with_care(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = _failing(monkeypatch, RuntimeError("a document can't be rendered"), times=1)
    model = MemoryReadModel()
    async with projecting(model, Broker(LOG)) as session:
        await reached(session, len(LOG))
    assert asked[:2] == [False, True]
    assert asked[-1] is False
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_a_batch_that_fails_with_care_too_stops_the_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _failing(monkeypatch, RuntimeError("a document can't be rendered"), times=2)
    async with projecting(MemoryReadModel(), Broker(LOG)) as session:
        assert await ended(session) == "unfoldable"


async def test_memory_and_io_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, MemoryError(), times=1)
    broker = Broker(LOG)
    session = Projection(0, broker, Metrics(), MemoryReadModel(), Reader(0, 1), _ours, WEIGHER)
    broker.session = session
    with pytest.raises(MemoryError):
        await asyncio.wait_for(session.run(lambda: None), 5)


async def test_level_comes_with_the_batch_that_reaches_the_end() -> None:
    model, broker = MemoryReadModel(), Broker(LOG[:400])
    async with projecting(model, broker) as session:
        await reached(session, 400)
        session.pend(LevelMark(partition=0, end=650, at_ms=77))
        session.pend(LevelMark(partition=0, end=800, at_ms=99))
        session.offer(LOG[400:640])
        await reached(session, 640)
        assert head_of(model, 0).level_at_ms == 0
        session.offer(LOG[640:660])
        await reached(session, 660)
        assert head_of(model, 0).level_at_ms == 77
        session.pend(LevelMark(partition=0, end=700, at_ms=99))
        session.offer(LOG[660:])
        await reached(session, len(LOG))
        assert head_of(model, 0).level_at_ms == 99


async def test_nothing_is_taken_in_after_the_end() -> None:
    model, broker = MemoryReadModel(), Broker(LOG[:10])
    async with projecting(model, broker) as session:
        await reached(session, 10)
        session.end()
        session.offer(LOG[10:])
        assert session.queued == 0
    assert head_of(model, 0).position == 10


async def test_what_is_kept_at_hand_does_not_outlive_an_assignment() -> None:
    # Lose the partition, let another one fold on, regain it: the state at hand would be stale,
    # and the positions would agree.
    model = MemoryReadModel()
    async with projecting(model, Broker(LOG[:300])) as session:
        await reached(session, 300)
    await project(model, LOG[300:500])
    async with projecting(model, Broker(LOG)) as session:
        await reached(session, len(LOG))
    assert stored_in_memory(model, 0) == independent_fold(LOG, 0, 1)


async def test_poison_is_told_and_counted() -> None:
    victim = LOG[20].key
    poison = Record(offset=20, timestamp=LOG[20].timestamp, key=victim, value=b"{")
    metrics, model = Metrics(), MemoryReadModel()
    log = [*LOG[:20], poison, *LOG[21:]]
    async with projecting(model, Broker(log), metrics=metrics) as session:
        await reached(session, len(log))
    shown = metrics.registry.get_sample_value
    assert shown("ledger_projector_poison_total") == 1
    assert shown("ledger_projector_frozen_licenses", {"partition": "0"}) == 1
    assert list(model.sorted_sets[Keys(0).set_aside("frozen")]) == [victim]
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)
