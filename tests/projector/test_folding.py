"""The fold of batches: the same bytes however the log is cut, and poison kept to its license."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from msgspec.structs import replace

from ledger.domain.events import Event
from ledger.domain.license import MEMORY_MS, Folded, License, Loaded, fold
from ledger.event_log.codec import UnknownRulesError, encode
from projector import changes, folding
from projector.folding import LostRecordError, fold_batch
from projector.loaded import Documents
from projector.read_model.keys import Keys
from projector.read_model.memory import MemoryReadModel
from projector.read_model.port import BATCH_KEYS_MAX, Batch
from projector.reading import Reader
from projector.views.documents import Head, license_document, read_license
from projector.views.set_aside import read_set_aside
from tests.activity import (
    ACTIVATIONS,
    MIXED,
    Activity,
    Appendable,
    Record,
    Weighted,
    appendable,
    records,
)
from tests.projector.in_memory import head_of, project, stored_in_memory
from tests.projector.independent import independent_fold
from tests.projector.weighing import WEIGHER

NAMES = Keys(0)


def _log(
    seed: int = 1, count: int = 1500, *, licenses: int = 40, mix: Weighted = MIXED
) -> list[Record]:
    machines = 12 if mix is MIXED else 0
    activity = Activity(seed, partitions=1, licenses=licenses, machines=machines, mix=mix)
    return records(activity.appendables(count), seed=seed)[0]


def _appended(log: list[Record], key: bytes | None, value: bytes | None) -> list[Record]:
    return [*log, Record(offset=len(log), timestamp=log[-1].timestamp, key=key, value=value)]


@pytest.mark.parametrize("seed", range(4))
async def test_any_cut_gives_the_bytes_of_a_fold_record_by_record(seed: int) -> None:
    log = _log(seed)
    pick = Random(seed)
    model, documents, at = MemoryReadModel(), Documents(NAMES, WEIGHER, limit=16), 0
    while at < len(log):
        run = log[at : at + pick.choice((1, 2, 30, 300))]
        # What is kept at hand may be dropped at any time, and is bounded.
        documents = Documents(NAMES, WEIGHER) if pick.random() < 0.2 else documents
        await project(model, run, documents=documents, careful=pick.random() < 0.2)
        at += len(run)
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)


async def test_partitions_are_folded_apart() -> None:
    log = records(Activity(3, partitions=4).appendables(800))
    model = MemoryReadModel()
    for partition, run in log.items():
        await project(model, run, partition=partition, partitions=4)
    for partition, run in log.items():
        assert stored_in_memory(model, partition) == independent_fold(run, partition, 4)


async def test_commands_are_forgotten_after_a_day_and_the_64_last_are_not() -> None:
    # One license, one record every 10 s: a day's worth and more, so that most is forgotten.
    mix = tuple(entry for entry in MIXED if entry[0] not in {"import", "denial", "stranger"})
    events = Activity(5, partitions=1, licenses=1, mix=mix).appendables(MEMORY_MS // 10_000 + 900)
    log = [
        Record(offset=offset, timestamp=offset * 10_000, key=item.key, value=item.value)
        for offset, item in enumerate(events)
    ]
    model, documents = MemoryReadModel(), Documents(NAMES, WEIGHER)
    for at in range(0, len(log), 700):
        await project(model, log[at : at + 700], documents=documents)
    expected = independent_fold(log, 0, 1)
    assert stored_in_memory(model, 0) == expected
    [license_] = [name for name in expected if ":L:" in name]
    remembered = read_license(model.strings[license_]).commands
    assert 64 < remembered < len(log) - 500


async def test_a_batch_writes_fewer_keys_than_allowed_and_none_of_it_is_lost() -> None:
    log = _log(2, 3000, licenses=900, mix=ACTIVATIONS)
    model, most = MemoryReadModel(), 0
    apply = model.apply

    async def counted(batch: Batch) -> int | None:
        nonlocal most
        most = max(most, 2 + len(batch.strings) + len(batch.sorted_sets))
        return await apply(batch)

    model.apply = counted  # type: ignore[method-assign]
    batches = await project(model, log)
    assert batches > 3
    assert BATCH_KEYS_MAX // 2 < most < BATCH_KEYS_MAX
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)


async def test_each_document_is_rendered_once_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []

    def render(license_: License) -> bytes:
        rendered.append(license_.id)
        return license_document(license_)

    monkeypatch.setattr(changes, "license_document", render)
    log = _log(7, 200, licenses=3)
    assert await project(MemoryReadModel(), log) == 1
    assert len(rendered) == len(set(rendered))
    assert len(rendered) >= 3


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"\xff\xfe", None, b'{"rules":1}', b"x" * 70_000], ids=repr
)
async def test_poison_freezes_its_license_and_no_other(broken: bytes | None) -> None:
    activity = Activity(4, partitions=1, licenses=3)
    log = records(activity.appendables(60))[0]
    victim = log[1].key
    assert victim is not None
    log = _appended(log, victim, broken)
    frozen_at = log[-1].offset
    for item in activity.appendables(120):
        log = _appended(log, item.key, item.value)
    later = [record for record in log[frozen_at:] if record.key == victim]
    assert len(later) > 10

    model = MemoryReadModel()
    await project(model, log[: frozen_at - 5])
    await project(model, log[frozen_at - 5 :])

    last_good = independent_fold(log[:frozen_at], 0, 1)[NAMES.license(victim.decode())]
    assert isinstance(last_good, bytes)
    frozen = read_license(model.strings[NAMES.license(victim.decode())])
    assert frozen == replace(read_license(last_good), frozen_at=frozen_at)
    waiting = model.sorted_sets[NAMES.set_aside(victim.decode())]
    aside = [read_set_aside(member) for member in sorted(waiting, key=waiting.__getitem__)]
    assert [(it.offset, it.key, it.value) for it in aside] == [
        (it.offset, it.key, it.value) for it in later
    ]
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)


async def test_the_same_poison_twice_in_one_moment_is_set_aside_twice() -> None:
    log = _log(1, 20)
    log = _appended(_appended(log, log[1].key, b"{"), log[1].key, b"{")
    model = MemoryReadModel()
    await project(model, log)
    assert len(model.sorted_sets[NAMES.set_aside((log[1].key or b"").decode())]) == 2


@pytest.mark.parametrize(
    "key", [None, b"", b"nobody", b"\xff", b"6F9619FF-8B86-8011-B42D-00C04FC964FF"], ids=repr
)
async def test_a_key_that_is_no_license_id_is_set_aside_by_offset(key: bytes | None) -> None:
    log = _appended(_log(1, 20), key, b"{}")
    model = MemoryReadModel()
    await project(model, log)
    assert list(model.sorted_sets[NAMES.set_aside("unroutable")].values()) == [log[-1].offset]
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)


async def test_a_license_in_another_partition_than_its_own_is_set_aside() -> None:
    stray = next(item for item in Activity(1, partitions=2).appendables(40) if item.partition == 1)
    log = [Record(offset=0, timestamp=1, key=stray.key, value=stray.value)]
    model = MemoryReadModel()
    await project(model, log, partition=0, partitions=2)
    assert list(model.sorted_sets) == [NAMES.set_aside("unroutable")]
    assert not [name for name in model.strings if ":L:" in name]


def _fails(times: int, error: Exception) -> Callable[..., Folded]:
    failed = 0

    def failing(event: Event, offset: int, elapsed_ms: int, loaded: Loaded) -> Folded:
        nonlocal failed
        failed += 1
        if failed <= times:
            raise error
        return fold(event, offset, elapsed_ms, loaded)

    return failing


async def test_a_fold_that_fails_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log = _log(1, 60)
    monkeypatch.setattr(folding, "fold", _fails(1, RuntimeError("a flaky one")))
    model = MemoryReadModel()
    await project(model, log)
    assert stored_in_memory(model, 0) == independent_fold(log, 0, 1)


async def test_a_fold_that_fails_twice_is_poison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "fold", _fails(2, RuntimeError("broken")))
    log = _log(1, 60)
    model = MemoryReadModel()
    await project(model, log)
    frozen = read_license(model.strings[NAMES.license((log[1].key or b"").decode())])
    assert frozen.frozen_at == 1


@pytest.mark.parametrize("error", [MemoryError(), OSError(), TimeoutError()], ids=repr)
async def test_trouble_is_no_poison(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "fold", _fails(9, error))
    with pytest.raises(type(error)):
        await project(MemoryReadModel(), _log(1, 60))


async def test_what_cannot_be_rendered_freezes_its_license_when_folded_with_care(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = _log(6, 80)
    victim = (log[3].key or b"").decode()

    def render(license_: License) -> bytes:
        if license_.id == victim and license_.frozen_at is None:
            raise ValueError("can't be rendered")
        return license_document(license_)

    for module in (changes, folding):
        monkeypatch.setattr(module, "license_document", render)
    with pytest.raises(ValueError, match="can't be rendered"):
        await project(MemoryReadModel(), log)
    model = MemoryReadModel()
    await project(model, log, careful=True)
    assert read_license(model.strings[NAMES.license(victim)]).frozen_at == 3
    assert head_of(model, 0).position == len(log)


def test_rules_unknown_here_end_the_run_before_their_record() -> None:
    activity = Activity(1, partitions=1)
    events = list(activity.events(20))
    later = encode(events[9]).replace(b'"rules":1', b'"rules":3')
    items = [appendable(event, 1) for event in events]
    items[9] = Appendable(partition=0, key=items[9].key, value=later)
    reading = Reader(0, 1).read(records(items)[0])
    assert len(reading.entries) == 10
    assert isinstance(reading.unknown_rules, UnknownRulesError)


async def test_a_gap_is_a_lost_record() -> None:
    log = _log(1, 30)
    model = MemoryReadModel()
    with pytest.raises(LostRecordError) as lost:
        await project(model, [*log[:10], *log[11:]])
    assert (lost.value.expected, lost.value.found) == (10, 11)


def test_clock_and_chain_advance_over_every_record() -> None:
    log = [
        Record(offset=0, timestamp=1_000, key=b"genesis", value=b"{}"),
        Record(offset=1, timestamp=1_500, key=b"no license", value=None),
        Record(offset=2, timestamp=90_000, key=None, value=b"?"),
        Record(offset=3, timestamp=10, key=b"genesis", value=b"again"),
    ]
    entries = Reader(0, 1).read(log).entries
    chains = set()
    for count in range(1, 5):
        folding_ = fold_batch(entries[:count], Head(), Documents(NAMES, WEIGHER), NAMES)
        head = folding_.batch.head
        chains.add(head.chain)
        assert (head.position, head.timestamp_ms) == (count, log[count - 1].timestamp)
    assert len(chains) == 4
    assert head.elapsed_ms == 500 + 10_000
