"""A replica beside a fresh fold: equal however it moves meanwhile; any harm is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import count, cycle, repeat
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import LogUnavailable
from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import ReadModelUnavailableError
from projector.reading import LogRecord
from projector.rebuild.store import Snapshot
from projector.verifying import comparison, patience
from projector.verifying.beside import NotComparedError, Verifying
from projector.verifying.comparison import Beside
from projector.views.digests import digests_document, read_digests
from projector.views.documents import (
    head_document,
    license_document,
    read_head,
    read_license,
    read_machine,
)
from tests.activity import Activity, Record, records
from tests.projector.catalog_activity import catalog_log
from tests.projector.in_memory import project
from tests.projector.quarantined import failing_at
from tests.projector.test_catalog_projection import projecting
from tests.projector.test_projection import reached
from tests.projector.verifying.moving import MemorySource, MovingReplica
from tests.projector.weighing import WEIGHER

LOG = records(Activity(31, partitions=1, licenses=150).appendables(1_200), seed=31)[0]
CATALOG_LOG = catalog_log(7, 400)
HALF = 700
STILL = 0
NAMES = Keys(0)
LISTS = "AFIKPTV"


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small place is many of them, and nobody waits."""
    monkeypatch.setattr(comparison, "PIECE", 40)
    monkeypatch.setattr(comparison, "LISTS", 5)
    monkeypatch.setattr(comparison, "PAUSE_S", 0.0)
    monkeypatch.setattr(patience, "AGAIN_S", 0.0)


async def _compared(
    replica: MovingReplica, log: Sequence[LogRecord] = LOG, place: int = 0
) -> Beside:
    discards = Discards(MemoryLog(1))
    verifying = Verifying(replica, MemorySource(log), WEIGHER, discards, partitions=1)
    return await verifying.place(place)


async def project_catalog(model: MemoryReadModel, run: Sequence[LogRecord]) -> None:
    end = run[-1].offset + 1
    async with projecting(model, CATALOG_LOG[:end]) as session:
        await reached(session, end)


async def _at(position: int, steps: Iterator[int] | None = None) -> MovingReplica:
    replica = MovingReplica(MemoryReadModel(), LOG, project, steps or repeat(STILL))
    await replica.fold_to(position)
    return replica


@given(st.integers(0, len(LOG)), st.lists(st.integers(0, 60), min_size=1, max_size=20))
@settings(max_examples=12, deadline=None)
async def test_a_replica_that_goes_on_is_equal(begins: int, steps: list[int]) -> None:
    replica = await _at(begins, cycle(steps))
    found = await _compared(replica)
    assert found.equal, found
    assert found.position == replica.position
    assert not found.frozen
    assert not found.notes


@given(st.integers(0, 400), st.lists(st.integers(0, 30), min_size=1, max_size=20))
@settings(max_examples=8, deadline=None)
async def test_a_catalog_that_goes_on_is_equal(begins: int, steps: list[int]) -> None:
    replica = MovingReplica(MemoryReadModel(), CATALOG_LOG, project_catalog, cycle(steps))
    await replica.fold_to(begins)
    found = await _compared(replica, CATALOG_LOG, CATALOG)
    assert found.equal, found
    assert not found.notes


async def test_all_is_read_and_the_work_is_told_of_twice_for_each_record() -> None:
    replica, told = await _at(len(LOG)), list[int]()
    verifying = Verifying(replica, MemorySource(LOG), WEIGHER, Discards(MemoryLog(1)), partitions=1)
    found = await verifying.place(0, told.append)
    strings = [name for name in replica.model.strings if name[8:10] in {"L:", "M:", "C:"}]
    members = sum(map(len, replica.model.sorted_sets.values()))
    assert found.read == len(strings) + members
    assert sum(told) == 2 * len(LOG)


def _strings(model: MemoryReadModel, kind: str) -> list[str]:
    return sorted(name for name in model.strings if name.startswith(f"{NAMES.prefix}{kind}:"))


@given(st.randoms(use_true_random=False), st.sampled_from("LMC"))
@settings(max_examples=12, deadline=None)
async def test_a_flipped_bit_of_a_document_is_named(random: Random, kind: str) -> None:
    replica = await _at(HALF)
    name = random.choice(_strings(replica.model, kind))
    value = bytearray(replica.model.strings[name])
    value[random.randrange(len(value))] ^= 1 << random.randrange(7)
    replica.model.strings[name] = bytes(value)
    found = await _compared(replica)
    # A bit can make it frozen in no way that the fold would have.
    assert [one.name for one in found.differences] == [NAMES.short(name)]
    [one] = found.differences
    assert one.there == bytes(value) != one.expected
    assert one.owner in {license_.split(":")[3] for license_ in _strings(replica.model, "L")}


@pytest.mark.parametrize("kind", "LMC")
async def test_a_missing_document_is_named_while_the_replica_goes_on(kind: str) -> None:
    replica = await _at(HALF, repeat(1))
    # Of a license that nothing happens to any more: else that would be folded on nothing.
    touched = {record.key for record in LOG[HALF:]}
    name = next(
        one
        for one in _strings(replica.model, kind)
        if _owner(one, replica.model.strings[one]) not in touched
    )
    document = replica.model.strings.pop(name)
    [one] = (await _compared(replica)).differences
    assert (one.name, one.there, one.expected) == (NAMES.short(name), None, document)
    assert replica.position > HALF


def _owner(name: str, document: bytes) -> bytes:
    kind, id_ = name.split(":")[2:4]
    return (read_machine(document).license if kind == "M" else id_).encode()


@pytest.mark.parametrize("kind", ["L", "M", "C", "X"])
async def test_a_document_too_many_is_named(kind: str) -> None:
    replica = await _at(HALF)
    name = f"{kind}:nobody{':command' if kind == 'C' else ''}"
    replica.model.strings[NAMES.prefix + name] = b"{}\n\n"
    [one] = (await _compared(replica)).differences
    assert (one.name, one.owner, one.expected) == (name, "nobody", None)


@pytest.mark.parametrize("kind", LISTS)
async def test_a_member_too_few_too_many_or_elsewhere_is_named(kind: str) -> None:
    for harm in ("few", "many", "elsewhere", "junk"):
        replica = await _at(HALF)
        name = next(
            one for one in replica.model.sorted_sets if one.startswith(f"{NAMES.prefix}{kind}:")
        )
        members = replica.model.sorted_sets[name]
        member, score = next(iter(members.items()))
        if harm == "few":
            del members[member]
        elif harm == "elsewhere":
            members[member] = score + 1
        else:
            members[member := b"9:nobody" if harm == "many" else b"\xff"] = 5
        [one] = (await _compared(replica)).differences
        shown = member.decode(errors="backslashreplace")
        assert one.name == f"{NAMES.short(name)} {shown}", harm
        forms = (one.there, one.expected)
        there = {"few": None, "elsewhere": b"%d" % (score + 1)}.get(harm, b"5")
        assert forms == (there, None if there == b"5" else b"%d" % score)


async def test_a_list_that_is_none_is_named() -> None:
    replica = await _at(HALF)
    name = next(one for one in replica.model.sorted_sets if one.startswith(f"{NAMES.prefix}K:"))
    replica.model.strings[name] = b"?"
    members = replica.model.sorted_sets.pop(name)
    found = await _compared(replica)
    assert found.differing == len(members) + 1
    assert {one.owner for one in found.differences} == {name.split(":")[3]}


async def test_records_set_aside_are_compared_and_a_member_too_few_is_named() -> None:
    victim = LOG[40].key or b""
    poison = replace_record(LOG[600], key=victim, value=b"{")
    nobody = replace_record(LOG[601], key=b"no license", value=b"{")
    log = [*LOG[:600], poison, nobody, *LOG[602:]]
    replica = MovingReplica(MemoryReadModel(), log, project, repeat(3))
    await replica.fold_to(HALF)
    assert (await _compared(replica, log)).equal
    for name in (f"{NAMES.prefix}Q:{victim.decode()}", f"{NAMES.prefix}Q:unroutable"):
        member, offset = replica.model.sorted_sets[name].popitem()
        [one] = (await _compared(replica, log)).differences
        assert (one.owner, one.there) == (name.split(":")[3], None)
        replica.model.sorted_sets[name][member] = offset
    # A frozen license's document that is gone isn't taken for one that was thawed.
    del replica.model.strings[NAMES.license(victim.decode())]
    [one] = (await _compared(replica, log)).differences
    assert (one.name, one.there) == (f"L:{victim.decode()}", None)


async def test_what_older_software_has_frozen_is_left_out_and_named() -> None:
    with failing_at({500}):
        replica = await _at(HALF)
    found = await _compared(replica)
    assert found.equal
    assert list(found.frozen) == [(LOG[500].key or b"").decode()]
    # And what is wrong besides is told.
    name = next(
        one
        for one in _strings(replica.model, "M")
        if found.frozen[0] not in one and found.frozen[0].encode() not in replica.model.strings[one]
    )
    del replica.model.strings[name]
    [one] = (await _compared(replica)).differences
    assert one.name == NAMES.short(name)


async def test_digests_that_do_not_fit_are_told() -> None:
    replica = await _at(HALF)
    kept = read_digests(replica.model.strings[NAMES.digests])
    for name in ("state", "documents"):
        wrong = replace(kept, **{name: "ab" * 16})
        replica.model.strings[NAMES.digests] = digests_document(wrong)
        [said] = (await _compared(replica)).wrong
        assert name in said
        assert "ab" * 16 in said
    replica.model.strings[NAMES.digests] = b"\xff"
    assert (await _compared(replica)).wrong == ["its digests can't be read"]


async def test_what_an_older_release_has_left_is_compared_and_noted() -> None:
    replica = await _at(HALF)
    kept = replica.model.strings.pop(NAMES.digests)
    found = await _compared(replica)
    assert found.equal
    assert "older release" in found.notes[0]
    replica.model.strings[NAMES.digests] = digests_document(replace(read_digests(kept), view=0))
    name = next(
        one for one in _strings(replica.model, "L") if b'"links"' in replica.model.strings[one]
    )
    document = replica.model.strings[name]
    replica.model.strings[name] = document.replace(b'"links"', b'"knils"')
    found = await _compared(replica)
    assert found.equal
    assert "another release" in found.notes[0]
    license_ = read_license(document)
    replica.model.strings[name] = license_document(replace(license_, seats_peak=99))
    assert [one.name for one in (await _compared(replica)).differences] == [NAMES.short(name)]


Harm = Callable[[MovingReplica], None]


def _head(**changes: object) -> Harm:
    def harm(replica: MovingReplica) -> None:
        head = replace(read_head(replica.model.strings[NAMES.head]), **changes)
        replica.model.strings[NAMES.head] = head_document(head)

    return harm


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_head(chain="ab" * 16), f"it has folded another log up to {HALF}"),
        (_head(elapsed_ms=1), "its head isn't what a fold"),
        (_head(position=len(LOG) + 5), f"to {len(LOG) + 5}, and the log ends at {len(LOG)}"),
    ],
    ids=["another log", "another clock", "ahead"],
)
async def test_a_head_that_is_not_the_log_s(harm: Harm, said: str) -> None:
    replica = await _at(HALF)
    harm(replica)
    [told] = (await _compared(replica)).wrong
    assert said in told


async def test_a_head_of_an_older_release_is_the_log_s() -> None:
    replica = await _at(HALF)
    _head(before_last="")(replica)
    assert (await _compared(replica)).equal


async def test_a_replica_that_is_always_another_one_is_not_compared() -> None:
    replica = await _at(HALF)
    serving = iter(range(1, 10_000))
    replica.model.strings[NAMES.serving] = b"1"
    snapshot = replica.snapshot

    async def turning(*asked: object) -> object:
        taken = await snapshot(*asked)  # type: ignore[arg-type]
        return replace(taken, serving=str(next(serving) + 1))

    replica.snapshot = turning  # type: ignore[assignment,method-assign]
    with pytest.raises(NotComparedError, match="at another place"):
        await _compared(replica)


async def test_what_this_software_cannot_fold_is_not_compared() -> None:
    later = replace_record(
        LOG[300], value=(LOG[300].value or b"").replace(b'"rules":1', b'"rules":9')
    )
    replica = await _at(HALF)
    with pytest.raises(NotComparedError, match="rules"):
        await _compared(replica, [*LOG[:300], later, *LOG[301:]])


def replace_record(record: Record, **changes: bytes | None) -> Record:
    """The record with other bytes."""
    key = changes.get("key", record.key)
    value = changes.get("value", record.value)
    return Record(offset=record.offset, timestamp=record.timestamp, key=key, value=value)


async def test_it_goes_slower_while_what_serves_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "HOLD_S", 0.001)
    for level_at_ms, held in ((1, True), (2**62, False), (0, False)):
        replica, slept = await _at(HALF), list[float]()
        _head(level_at_ms=level_at_ms)(replica)

        async def sleep(seconds: float, slept: list[float] = slept) -> None:
            slept.append(seconds)

        with patch.object(asyncio, "sleep", sleep):
            assert (await _compared(replica)).equal
        assert (comparison.HOLD_S in slept) == held


async def test_a_busy_replica_and_a_busy_broker_are_asked_again() -> None:
    replica, source = await _at(HALF, repeat(2)), MemorySource(LOG)
    snapshot, records_, calls = replica.snapshot, source.records, count()

    async def busy(*asked: object) -> Snapshot:
        if next(calls) % 2:
            raise ReadModelUnavailableError("it takes too long")
        return await snapshot(*asked)  # type: ignore[arg-type]

    async def slow(
        place: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        async for run in records_(place, start=start, stop=stop):
            yield run
            if next(calls) % 5 == 0:
                raise LogUnavailable("nothing arrives")

    with patch.multiple(replica, snapshot=busy), patch.multiple(source, records=slow):
        verifying = Verifying(replica, source, WEIGHER, Discards(MemoryLog(1)), partitions=1)
        assert (await verifying.place(0)).equal
    assert next(calls) > 20


async def test_where_another_generation_comes_to_serve_it_begins_anew_with_that() -> None:
    replica = await _at(HALF)
    snapshot, calls = replica.snapshot, count(1)

    async def flipping(*asked: object) -> Snapshot:
        if next(calls) == 10:
            _rename(replica.model, "{p00}:1:", "{p00}:2:")
            replica.model.strings[NAMES.serving] = b"2"
        return await snapshot(*asked)  # type: ignore[arg-type]

    with patch.multiple(replica, snapshot=flipping):
        found = await _compared(replica)
    assert found.equal
    assert found.generation == "2"
    assert next(calls) > 30


def _rename(model: MemoryReadModel, old: str, new: str) -> None:
    for held in (model.strings, model.sorted_sets):
        for name in [one for one in held if one.startswith(old)]:
            held[new + name.removeprefix(old)] = held.pop(name)  # type: ignore[assignment]
