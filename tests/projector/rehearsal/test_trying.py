"""How often a rehearsal tries, what makes it careful, and discards that come in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ledger.domain.license import License
from ledger.event_log import chain
from ledger.event_log.port import LogUnavailable, Record
from projector.discards import Discards
from projector.read_model.port import ReadModelUnavailableError
from projector.reading import LogRecord
from projector.rehearsal import changes, comparing, reading
from projector.rehearsal.comparing import Comparing
from projector.rehearsal.outcome import Outcome
from projector.rehearsal.reading import TRIES, tried
from projector.rehearsal.run import beside_a_replica, under_rules
from projector.verifying import patience
from projector.views.documents import license_document
from tests.projector.rehearsal.test_laws import Memory, a_log
from tests.projector.weighing import WEIGHER


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_AGAIN_S", 0.0)


@pytest.mark.parametrize("error", [LogUnavailable("busy"), ReadModelUnavailableError("busy")])
async def test_what_is_busy_is_asked_again_for_a_while(error: Exception) -> None:
    asked: list[bool] = []

    async def busy(careful: bool) -> None:  # noqa: FBT001 - as it is called
        asked.append(careful)
        if len(asked) < TRIES or len(asked) > TRIES:
            raise error

    await tried(busy)
    assert asked == [False] * TRIES
    with pytest.raises(type(error)):
        await tried(busy)


async def test_out_of_memory_is_nobodys_record() -> None:
    async def exhausted(careful: bool) -> None:  # noqa: FBT001 - as it is called
        assert not careful
        raise MemoryError

    with pytest.raises(MemoryError):
        await tried(exhausted)


async def test_what_is_never_rendered_is_a_bug() -> None:
    asked: list[bool] = []

    async def failing(careful: bool) -> None:  # noqa: FBT001 - as it is called
        asked.append(careful)
        raise TypeError

    with pytest.raises(TypeError):
        await tried(failing)
    assert asked == [False, True]


class Discarding(Discards):
    """Of which each look finds one more record, up to the last."""

    def __init__(self, *found: frozenset[int]) -> None:
        self.found = list(found)
        self.now: frozenset[int] = frozenset()

    async def refresh(self) -> None:
        if self.found:
            self.now = self.found.pop(0)

    def of(self, partition: int) -> frozenset[int]:
        assert partition == 0
        return self.now


async def test_a_document_that_can_not_be_rendered_freezes_its_license(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = Memory(a_log(3))
    victim = (memory.log[1].key or b"").decode()

    def refusing(license_: License) -> bytes:
        if license_.id == victim and license_.frozen_at is None:
            raise TypeError
        return license_document(license_)

    monkeypatch.setattr(changes, "license_document", refusing)
    monkeypatch.setattr("projector.folding.license_document", refusing)
    compare = Comparing(memory, memory, WEIGHER, partitions=1)
    found = await beside_a_replica(compare, Discarding(), 1)
    assert {change.license for change in found.changes} == {victim}
    assert not found.same
    assert found.changed_licenses == 1


async def test_a_record_that_is_discarded_meanwhile_is_skipped_on_both_sides() -> None:
    memory = Memory(a_log(3))
    gone = next(record.offset for record in memory.log[20:] if record.key != b"genesis")
    memory.discarded = frozenset({gone})
    compare = Comparing(memory, memory, WEIGHER, partitions=1)
    found = await beside_a_replica(compare, Discarding(frozenset(), memory.discarded), 1)
    assert found.same
    supposed = await under_rules(_One(memory), Discarding(memory.discarded), {0: 200}, 2)
    assert supposed.same
    assert supposed.verdicts == 198
    assert supposed.positions == (200,)


class _One:
    """The log of a `Memory`, told in runs."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def messages(
        self, partition: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        assert partition == 0
        for at in range(start, stop, 50):
            yield self._memory.log[at : min(at + 50, stop)]


async def test_another_generation_that_serves_meanwhile_is_compared_from_its_beginning() -> None:
    memory = Flipping(a_log(3))
    compared = await Comparing(memory, memory, WEIGHER, partitions=1).compare(0)
    assert list(compared.changes) == []
    assert memory.looks > 5


class Flipping(Memory):
    """A replica whose other generation serves from the third look on."""

    looks = 0

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        self.looks += 1
        values = await super().get([name.replace("}:2:", "}:1:") for name in names])
        flipped = self.looks > 2
        return [
            b"2" if value == b"1" and flipped and name.endswith(":serving") else value
            for name, value in zip(names, values, strict=True)
        ]


OUTCOME = Outcome(
    ledger="one",
    rules=2,
    release="1.0",
    positions=(1, 7),
    chains=(chain.extend(chain.START, 0, 9, b"k", b"v").hex(), "ab" * 16),
    before_last=(chain.START.hex(), "cd" * 16),
    verdicts=10,
    licenses=3,
    changed_verdicts=0,
    changed_licenses=0,
    at_ms=0,
)


@pytest.mark.parametrize(
    ("ends", "grown"),
    [({0: 1, 1: 7}, 0), ({0: 2, 1: 9}, 3), ({0: 9, 1: 6}, None), ({0: 1}, None), ({}, None)],
)
def test_what_the_log_has_grown_by(ends: Mapping[int, int], grown: int | None) -> None:
    assert OUTCOME.grown(ends) == grown


def test_the_log_is_recognized_by_the_last_record() -> None:
    last = Record(partition=0, offset=0, timestamp_ms=9, key=b"k", value=b"v")
    assert OUTCOME.ends_with(last)
    others: tuple[dict[str, Any], ...] = (
        {"timestamp_ms": 8},
        {"key": None},
        {"value": b"w"},
        {"offset": 1},
        {"partition": 1},
    )
    for changed in others:
        assert not OUTCOME.ends_with(replace(last, **changed))


class Slow(Memory):
    """A replica that takes its time, and is too busy to answer once in between."""

    took_s = 0.03
    asked = 0

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        self.asked += 1
        if self.asked == 4:
            raise ReadModelUnavailableError("busy")
        time.sleep(self.took_s)  # noqa: ASYNC251 - as a Redis that is busy
        return await super().get(names)


async def test_it_rests_between_pieces_as_long_as_the_replica_took_and_begins_not_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(comparing, "PIECE", 37)
    monkeypatch.setattr(patience, "AGAIN_S", 0.0)
    rests: list[float] = []
    sleep = asyncio.sleep

    async def rested(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr("projector.rehearsal.comparing.asyncio.sleep", rested)
    replica, folded = Slow(a_log(1)), list[int]()
    await Comparing(replica, replica, WEIGHER, partitions=1, tell=folded.append).compare(0)
    assert sum(folded) == len(replica.log), "it was folded once"
    # Without its first look, and the one that failed, which was waited for elsewhere.
    assert len([one for one in rests if one >= Slow.took_s]) == replica.asked - 2
