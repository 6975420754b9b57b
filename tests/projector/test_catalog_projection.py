"""The catalog's projection: from any place, through any trouble, to the bytes of another fold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import memory
from ledger.domain.catalog.events import ProductCreated
from ledger.domain.catalog.fold import fold_catalog
from ledger.event_log.catalog_codec import encode_catalog
from projector import catalog_folding, catalog_loading, catalog_projection
from projector.catalog_folding import CatalogFolding, fold_catalog_batch
from projector.catalog_projection import CatalogProjection
from projector.metrics import Metrics
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import Batch, LevelMark, ReadModelUnavailableError
from projector.session import Stopped
from tests.activity import Record
from tests.ledger.domain.catalog.given import begun, id_of, ordered
from tests.ledger.domain.given import ACCOUNT, POLICY, PRODUCT
from tests.projector.catalog_activity import catalog_log
from tests.projector.in_memory import head_of, stored_in_memory
from tests.projector.independent_catalog import independent_catalog
from tests.projector.test_projection import Broker, ended, reached
from tests.projector.weighing import WEIGHER

LOG = catalog_log(1, 700)
FIRST_MS = LOG[0].timestamp


async def _ours(_: int) -> None:
    pass


@asynccontextmanager
async def projecting(
    model: MemoryReadModel, log: Sequence[Record], metrics: Metrics | None = None
) -> AsyncIterator[CatalogProjection]:
    broker = Broker(log)
    session = CatalogProjection(broker, metrics or Metrics(), model, _ours, WEIGHER)
    broker.session = session
    task = asyncio.create_task(session.run(lambda: None))
    try:
        yield session
    finally:
        session.end()
        await asyncio.wait_for(task, 5)


async def _project(model: MemoryReadModel, log: Sequence[Record]) -> None:
    async with projecting(model, log) as session:
        await reached(session, len(log))


def _records(*values: tuple[bytes | None, bytes | None]) -> list[Record]:
    return [
        Record(offset=at, timestamp=FIRST_MS, key=key, value=value)
        for at, (key, value) in enumerate(values)
    ]


def test_the_activity_comes_by_every_verdict_but_those_that_need_nonsense() -> None:
    stored = independent_catalog(LOG)
    said = b" ".join(value for value in stored.values() if isinstance(value, bytes))
    for code in ("granted", "not-found", "id-taken", "slug-taken", "code-taken", "domain-taken"):
        assert b'"code":"%b"' % code.encode() in said
    for code in ("digest-taken", "in-use", "invalid", "stale", "already-discarded"):
        assert b'"code":"%b"' % code.encode() in said


async def test_from_nothing_to_the_end() -> None:
    model, metrics = MemoryReadModel(), Metrics()
    async with projecting(model, LOG, metrics) as session:
        await reached(session, len(LOG))
        assert session.sure
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG)
    shown = metrics.registry.get_sample_value("ledger_projector_position", {"partition": "catalog"})
    assert shown == len(LOG)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.integers(2, 99),
    st.lists(st.integers(1, 150), max_size=5),
    st.sampled_from([1, 3, 124]),
)
async def test_the_same_bytes_for_every_batch_split(seed: int, cuts: list[int], step: int) -> None:
    """With memory's bounds made small, so that a chunk forgets what it has itself remembered."""
    log, model = catalog_log(seed, 150), MemoryReadModel()
    bounds: dict[str, Any] = {"MEMORY_MS": 30_000, "MEMORY_COMMANDS": 4, "FORGOTTEN_MAX": 2}
    small, loading = patch.multiple(memory, **bounds), patch.multiple(catalog_loading, **bounds)
    chunks = patch.object(catalog_projection, "CHUNK_RECORDS", step)
    with small, loading, chunks, patch("tests.ledger.domain.catalog.replica.FORGOTTEN_MAX", 2):
        for end in [*sorted(cut for cut in cuts if cut < len(log)), len(log)]:
            await _project(model, log[:end])
        assert stored_in_memory(model, CATALOG) == independent_catalog(log)


async def test_a_publication_names_what_changed() -> None:
    log = _records(
        (b"genesis", b"{}"), *((ACCOUNT.encode(), encode_catalog(event)) for event in begun())
    )
    model = MemoryReadModel()
    await _project(model, log)
    assert model.published == [("{catalog}:positions", f"0 4 {ACCOUNT} {PRODUCT} {POLICY}")]


class Troubled(MemoryReadModel):
    """Fails some calls, before or after it did what was asked; or went back before."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__()
        self.failures = failures

    async def apply(self, batch: Batch) -> int | None:
        failure = self.failures.pop(0) if self.failures else "none"
        if failure == "before":
            raise ReadModelUnavailableError("not reached")
        if failure == "back":
            self.strings.clear()
            self.sorted_sets.clear()
        result = await super().apply(batch)
        if failure == "after":
            raise ReadModelUnavailableError("no answer in time")
        return result


@pytest.mark.parametrize("failure", ["before", "after", "back"])
async def test_after_trouble_the_store_says_where_to_go_on(failure: str) -> None:
    model = Troubled([failure, "none", failure, failure])
    await _project(model, LOG)
    assert not model.failures
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG)


async def test_another_log_is_not_folded() -> None:
    model = MemoryReadModel()
    await _project(model, LOG[:100])
    before, log = dict(model.strings), list(LOG)
    log[99] = replace(LOG[99], value=b"{ }")
    async with projecting(model, log) as session:
        assert await ended(session) == "log-replaced"
        assert not session.sure
    assert model.strings == before


@pytest.mark.parametrize(
    "poison",
    [(None, b"{}"), (ACCOUNT.encode(), b'{"secret":"Canary"}'), (ACCOUNT.encode(), None)],
    ids=str,
)
async def test_poison_stops_the_catalog_before_it(
    poison: tuple[bytes | None, bytes | None], caplog: pytest.LogCaptureFixture
) -> None:
    model, metrics = MemoryReadModel(), Metrics()
    bad = Record(offset=50, timestamp=LOG[49].timestamp, key=poison[0], value=poison[1])
    later = [Record(offset=51, timestamp=bad.timestamp, key=LOG[51].key, value=LOG[51].value)]
    async with projecting(model, [*LOG[:50], bad, *later], metrics) as session:
        assert await ended(session) == "catalog-poison"
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG[:50])
    assert head_of(model, CATALOG).position == 50
    stopped = metrics.registry.get_sample_value(
        "ledger_projector_stopped", {"partition": "catalog"}
    )
    assert stopped == 1
    assert "offset 50" in caplog.text
    assert "Canary" not in caplog.text
    # Software that folds it goes on where the other stopped.
    await _project(model, LOG)
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG)


async def test_what_twice_cannot_be_folded_is_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(event: object, offset: int, *rest: object) -> object:
        if offset == 30:
            tried.append(offset)
            raise RuntimeError("a defect")
        return fold_catalog(event, offset, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog_folding, "fold_catalog", fails)
    model = MemoryReadModel()
    async with projecting(model, LOG) as session:
        assert await ended(session) == "catalog-poison"
    assert tried == [30, 30]
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG[:30])


async def test_later_rules_stop_the_catalog_before_them() -> None:
    later = (LOG[50].value or b"").replace(b'"rules":1', b'"rules":2')
    log = [*LOG[:50], Record(offset=50, timestamp=FIRST_MS, key=LOG[50].key, value=later)]
    model = MemoryReadModel()
    async with projecting(model, log) as session:
        assert await ended(session) == "unknown-rules"
    assert stored_in_memory(model, CATALOG) == independent_catalog(LOG[:50])


async def test_a_gap_is_a_lost_record() -> None:
    model = MemoryReadModel()
    async with projecting(model, [*LOG[:50], *LOG[51:]]) as session:
        assert await ended(session) == "lost-record"
    assert head_of(model, CATALOG).position == 0


async def test_a_foreign_log_is_not_folded() -> None:
    asked = []

    async def foreign(place: int) -> None:
        asked.append(place)
        raise Stopped("foreign-log", "another ledger's")

    broker = Broker(LOG)
    session = CatalogProjection(broker, Metrics(), MemoryReadModel(), foreign, WEIGHER)
    broker.session = session
    await asyncio.wait_for(session.run(lambda: None), 5)
    assert (session.stopped, asked) == ("foreign-log", [CATALOG])


async def test_level_at_goes_with_the_batch_that_reaches_its_end() -> None:
    model = MemoryReadModel(lambda: 9_999)
    broker = Broker(LOG)
    session = CatalogProjection(broker, Metrics(), model, _ours, WEIGHER)
    session.pend(LevelMark(partition=CATALOG, end=len(LOG), at_ms=5_000))
    broker.session = session
    task = asyncio.create_task(session.run(lambda: None))
    await reached(session, len(LOG))
    session.end()
    await asyncio.wait_for(task, 5)
    assert head_of(model, CATALOG).level_at_ms == 5_000


async def test_a_chunk_is_one_batch_with_fewer_keys_than_it_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most: list[int] = []

    def counted(*args: object) -> CatalogFolding:
        folding = fold_catalog_batch(*args)  # type: ignore[arg-type]
        most.append(len(folding.batch.strings) + len(folding.batch.sorted_sets))
        return folding

    monkeypatch.setattr(catalog_projection, "fold_catalog_batch", counted)
    events = [
        ordered(ProductCreated(name="P", code=f"C{n}"), f"p {n}", subject=id_of(f"p {n}"))
        for n in range(300)
    ]
    values = [(ACCOUNT.encode(), encode_catalog(event)) for event in [*begun()[:1], *events]]
    await _project(MemoryReadModel(), _records((b"genesis", b"{}"), *values))
    assert 100 < max(most) < 2_000
    assert Keys(CATALOG).head == "{catalog}:1:head"
