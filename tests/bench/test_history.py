"""A history that is made: valid, the same by its seed, and checks say what it expects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable

import pytest

from api.checks import Scope, check
from bench.history import (
    SHAPES,
    Expected,
    History,
    NotEmptyError,
    Shape,
    Size,
    fingerprint_of,
    key_of,
    write,
)
from bench.history.plans import DAY_MS
from bench.history.templates import template
from bench.history.writing import whose_of
from ledger.domain.events import ActivationRequested, Event, Issued, Suspended
from ledger.domain.identifiers import Pepper, fingerprint_digest, license_id, machine_id
from ledger.domain.license import License, Machine
from ledger.event_log.codec import decode, encode
from ledger.event_log.genesis import RECORD_KEY
from ledger.event_log.port import Topic, Topics
from ledger.event_log.topics import describe
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.records import read_record_key
from ledger.settings import SettingsError
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.memory import MemoryReadModel
from projector.views.documents import read_license, read_machine, read_verdict
from tests.activity import Record
from tests.projector.in_memory import project
from tests.projector.independent_catalog import independent_catalog
from tests.projector.replica import read_all
from tests.servers import KafkaServer

PARTITIONS = 2
UNTIL_MS = 1_790_000_000_000
PEPPER = "70" * 32
SEAL = "73" * 32
LEDGER = "5a2b0d1e-0c57-4c1e-9d2c-3a1f5b7c9e01"
BUSY_S = 240
"""Of tests on real topics, where the broker serves others as well."""


def environment(kafka: KafkaServer | None = None, topics: Topics | None = None) -> dict[str, str]:
    return {
        "LEDGER_KAFKA": "127.0.0.1:1" if kafka is None else kafka.bootstrap,
        "LEDGER_REPLICAS": "redis://127.0.0.1:1",
        "LEDGER_PARTITIONS": str(PARTITIONS),
        "LEDGER_TOPIC_PREFIX": "" if topics is None else topics.prefix,
        "LEDGER_PEPPER": PEPPER,
        "LEDGER_SEAL_KEYS": f"k1:{SEAL}",
        "LEDGER_LOCAL": "1",
    }


def size(shape: Shape, *, licenses: int = 120, events: int = 4_000, seed: int = 7) -> Size:
    return Size(shape=shape, licenses=licenses, events=events, seed=seed, until_ms=UNTIL_MS)


def history(shape: Shape, *, seed: int = 7) -> History:
    return History(whose_of(environment(), LEDGER), size(shape, seed=seed))


def events_of(one: History) -> list[tuple[bytes, bytes, int]]:
    return [row for partition in range(PARTITIONS) for row in one.events(partition)]


async def folded(log: dict[int, list[Record]]) -> MemoryReadModel:
    model = MemoryReadModel()
    for partition, records in log.items():
        await project(model, records, partition=partition, partitions=PARTITIONS)
    return model


async def in_memory(one: History) -> MemoryReadModel:
    return await folded(
        {
            partition: [
                Record(offset=offset, timestamp=timestamp, key=key, value=value)
                for offset, (key, value, timestamp) in enumerate(one.events(partition))
            ]
            for partition in range(PARTITIONS)
        }
    )


class Folded:
    """What the fold has made of a history's licenses."""

    def __init__(self, one: History, model: MemoryReadModel) -> None:
        self._history = one
        self._model = model

    def license(self, index: int) -> License | None:
        id_ = self._history.license_of(index)
        document = self._document(id_, lambda names: names.license(id_))
        return None if document is None else read_license(document)

    def answer(self, index: int, now_ms: int, machine: int | None = None) -> tuple[str, bool]:
        license_ = self.license(index)
        if machine is None:
            said = check(license_, (), Scope(quick=True), now_ms)
        else:
            fingerprint = fingerprint_of(index, machine)
            scope = Scope(fingerprint=fingerprint)
            said = check(license_, [self._machine(index, fingerprint)], scope, now_ms)
        return said.code, said.valid

    def _machine(self, index: int, fingerprint: str) -> Machine | None:
        id_ = machine_id(
            Pepper(bytes.fromhex(PEPPER)), self._history.license_of(index), fingerprint
        )
        document = self._document(id_, lambda names: names.machine(id_))
        return None if document is None else read_machine(document)

    def _document(self, id_: str, name: Callable[[Keys], str]) -> bytes | None:
        return self._model.strings.get(name(Keys(int(id_[-3:], 16) % PARTITIONS)))

    def is_without_poison(self) -> bool:
        names = [*self._model.strings, *self._model.sorted_sets]
        licenses = [self.license(index) for index in range(self._history.size.licenses)]
        frozen = [one for one in licenses if one is None or one.frozen_at is not None]
        return not frozen and not [name for name in names if ":Q:" in name]

    def verdicts(self) -> Counter[str]:
        return Counter(
            read_verdict(document).code
            for name, document in self._model.strings.items()
            if ":C:" in name
        )

    def refusals(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for index in range(self._history.size.licenses):
            license_ = self.license(index)
            found.update({} if license_ is None else license_.refusals)
        return found


def assert_as_expected(one: History, found: Folded) -> Counter[str]:
    """Compare every license's check, also for a machine; how often each code was said."""
    said: Counter[str] = Counter()
    for index in range(one.size.licenses):
        wanted = one.expected(index)
        for now_ms in (UNTIL_MS, UNTIL_MS + 100 * DAY_MS, UNTIL_MS + 1_000 * DAY_MS):
            assert found.answer(index, now_ms) == wanted.answer(now_ms), index
            for machine in (*wanted.machines[:3], 10_000_000):
                answer = found.answer(index, now_ms, machine)
                assert answer == wanted.answer(now_ms, machine), index
        said[wanted.answer(UNTIL_MS)[0]] += 1
        license_ = found.license(index)
        assert license_ is not None
        assert license_.machines == len(wanted.machines)
    return said


@pytest.mark.timeout(BUSY_S)
@pytest.mark.parametrize("shape", SHAPES)
async def test_what_is_written_is_a_ledger_that_answers_as_expected(
    kafka_server: KafkaServer, topics: Topics, shape: Shape
) -> None:
    told: list[int] = []
    env = environment(kafka_server, topics)
    one = await write(env, size(shape), tell=told.append)
    assert sum(told) == 4_000
    name = topics.name(Topic.LICENSE_EVENTS)
    log = {at: await read_all(kafka_server, name, at) for at in range(PARTITIONS)}
    assert [records[0].key for records in log.values()] == [RECORD_KEY] * PARTITIONS
    for partition, records in log.items():
        written = [(each.key, each.value, each.timestamp) for each in records[1:]]
        assert written == list(one.events(partition))
    found = Folded(one, await folded(log))
    assert found.is_without_poison()
    assert_as_expected(one, found)
    # From now on the broker's clock is the log's.
    assert not any((await describe(env["LEDGER_KAFKA"], topics)).differing.values())


@pytest.mark.timeout(BUSY_S)
async def test_sealed_values_open_under_the_keys_that_are_in_the_log(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    one = await write(environment(kafka_server, topics), size("mixed"))
    ring, account = KeyRing([("k1", bytes.fromhex(SEAL))]), one.whose.account
    indices = {one.license_of(index): index for index in range(one.size.licenses)}
    opened = {}
    name = topics.name(Topic.LICENSE_DATA_KEYS)
    for partition in range(PARTITIONS):
        for record in await read_all(kafka_server, name, partition):
            named = read_record_key(record.key)
            if named is not None:
                assert record.value is not None
                opened[named[0]] = ring.unwrap(
                    record.value, account=account, license_=named[0], dk=named[1]
                )
    assert opened.keys() == indices.keys()
    fingerprints = 0
    for row in events_of(one):
        event = decode(row[0], row[1])
        index, data_key = indices[event.license], opened[event.license]
        if isinstance(event.data, Issued):
            key = data_key.open(account, event.license, event.data.key)
            assert key == key_of(one.size.seed, index)
            assert license_id(Pepper(bytes.fromhex(PEPPER)), account, key) == event.license
        if isinstance(event.data, ActivationRequested):
            text = data_key.open(account, event.license, event.data.fingerprint)
            assert machine_id(Pepper(bytes.fromhex(PEPPER)), event.license, text) == (
                event.data.machine
            )
            digest = fingerprint_digest(Pepper(bytes.fromhex(PEPPER)), account, text)
            assert digest == event.data.fingerprint_digest
            fingerprints += 1
    assert fingerprints > 500


@pytest.mark.timeout(BUSY_S)
async def test_the_catalog_knows_the_policies_and_entitlements(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    one = await write(
        environment(kafka_server, topics), size("mixed", licenses=20, events=60), append_time=True
    )
    stored = independent_catalog(await read_all(kafka_server, topics.name(Topic.CATALOG_EVENTS), 0))
    names = Keys(CATALOG)
    ids = [plan.policy for plan in one.whose.plans] + list(one.whose.entitlements)
    assert {names.entity(id_) for id_ in ids} <= stored.keys()


@pytest.mark.timeout(BUSY_S)
async def test_two_processes_write_what_one_would_and_never_twice(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    env, told = environment(kafka_server, topics), list[int]()
    one = await write(env, size("mixed", events=1_000), processes=2, tell=told.append)
    assert sum(told) == 1_000
    for partition in range(PARTITIONS):
        log = await read_all(kafka_server, topics.name(Topic.LICENSE_EVENTS), partition)
        assert [each.value for each in log[1:]] == [row[1] for row in one.events(partition)]
    with pytest.raises(NotEmptyError, match="empty ledger"):
        await write(env, size("mixed", events=1_000))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_seed_makes_the_same_history(shape: Shape) -> None:
    assert events_of(history(shape)) == events_of(history(shape))
    assert not set(events_of(history(shape))) & set(events_of(history(shape, seed=8)))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_record_has_the_codecs_bytes(shape: Shape) -> None:
    rows = events_of(history(shape))
    assert len(rows) == 4_000
    for key, value, timestamp in rows:
        event = decode(key, value)
        assert encode(event) == value
        assert (event.rules, event.time_ms) == (2, timestamp)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_licenses_events_come_in_the_order_of_time_and_are_begun_by_its_issue(
    shape: Shape,
) -> None:
    one = history(shape)
    for partition in range(PARTITIONS):
        rows = list(one.events(partition))
        times = [row[2] for row in rows]
        assert times == sorted(times)
        assert UNTIL_MS - 400 * DAY_MS <= times[0] <= times[-1] <= UNTIL_MS
        first: dict[bytes, Event] = {}
        for key, value, _ in rows:
            first.setdefault(key, decode(key, value))
        assert all(isinstance(event.data, Issued) for event in first.values())


@pytest.mark.parametrize("seed", range(5))
async def test_a_mixed_history_has_refusals_repetitions_and_imports(seed: int) -> None:
    one = History(
        whose_of(environment(), LEDGER),
        size("mixed", licenses=400, events=8_000, seed=seed),
    )
    events = [decode(row[0], row[1]) for row in events_of(one)]
    contents: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        contents[event.license, event.id].add(event.content_digest)
    assert all(len(each) == 1 for each in contents.values())
    assert 0.005 < (len(events) - len(contents)) / len(events) < 0.02
    assert 0.01 < sum(event.sequence is not None for event in events) / len(events) < 0.1
    found = Folded(one, await in_memory(one))
    assert found.is_without_poison()
    said = assert_as_expected(one, found)
    assert {"VALID", "EXPIRED", "SUSPENDED", "NOT_FOUND", "OVERDUE"} <= said.keys()
    assert said["VALID"] > 200
    usual = {"machine-limit-exceeded", "already-held", "no-machine", "expired", "suspended"}
    assert usual <= found.refusals().keys()


def test_shapes_are_as_they_are_called() -> None:
    small = size("many-small", licenses=1_000, events=8_000).counts()
    assert max(small) < 20
    huge = size("few-huge", licenses=1_000, events=100_000)
    assert sum(sorted(huge.counts())[-50:]) > 85_000
    assert sum(huge.kind(index) == "huge" for index in range(1_000)) == 50
    long = size("long-histories", licenses=100, events=50_000).counts()
    assert min(long) > 100
    mixed = sorted(size("mixed", licenses=10_000, events=100_000).counts())
    assert mixed[5_000] < 10
    assert mixed[-1] > 200
    for counts in (small, huge.counts(), long, mixed):
        assert min(counts) >= 1
    with pytest.raises(ValueError, match="an event for each"):
        size("mixed", licenses=10, events=9).counts()


def test_many_machines_stand_on_a_huge_license() -> None:
    one = History(whose_of(environment(), LEDGER), size("few-huge", licenses=20, events=40_000))
    assert one.size.kind(0) == "huge"
    assert len(one.expected(0).machines) > 15_000


def test_what_a_check_says_is_certain_where_nothing_ends_meanwhile() -> None:
    one = Expected(
        live=True,
        suspended=False,
        expiry_ms=50,
        strategy="RESTRICT_ACCESS",
        due_ms=None,
        machines=(),
    )
    assert one.is_certain(10, 49)
    assert not one.is_certain(10, 50)


def test_a_slot_that_stands_twice_or_elsewhere_is_no_template() -> None:
    event = Event(
        id="11111111-1111-8111-8111-111111111abc",
        source="api",
        license="22222222-2222-8222-8222-222222222abc",
        time_ms=UNTIL_MS,
        actor="api",
        content_digest="4" * 32,
        data=Suspended(),
    )
    for slots in (("api",), (event.license, event.id), ("nowhere",)):
        with pytest.raises(ValueError, match="does not stand once"):
            template(event, *slots)


def test_a_policy_that_is_strict_is_refused() -> None:
    env = {**environment(), "LEDGER_POLICY_STRICT": "1"}
    with pytest.raises(ValueError, match="not strict"):
        whose_of(env, LEDGER)
    with pytest.raises(SettingsError):
        whose_of({**environment(), "LEDGER_PEPPER": ""}, LEDGER)


def test_keys_are_functions_of_seed_and_index() -> None:
    keys = {key_of(seed, index) for seed in (1, 2) for index in range(1_000)}
    assert len(keys) == 2_000
    assert key_of(1, 5) == key_of(1, 5)
