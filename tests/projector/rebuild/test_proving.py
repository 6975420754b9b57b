"""The proof: two generations that agree are equal, and of any harm it is named what and whose."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from msgspec.structs import replace

from ledger.event_log.memory import MemoryLog
from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.memory import MemoryReadModel
from projector.reading import LogRecord
from projector.rebuild import moments, proving, reading_back
from projector.rebuild.bulk import BulkFold
from projector.rebuild.differences import beside_another
from projector.rebuild.proof import NotProvedError, Proof, see_to_agreed
from projector.rebuild.proving import Proving
from projector.rebuild.rendering import Rendering
from projector.rebuild.store import Page, Store
from projector.views.digests import VIEW, Cut, Digests, digests_document, plus, read_digests
from projector.views.documents import head_document, license_document, read_head, read_license
from tests.activity import Activity, records
from tests.projector.catalog_activity import catalog_log
from tests.projector.quarantined import failing_at
from tests.projector.test_catalog_projection import projecting
from tests.projector.test_projection import reached
from tests.projector.weighing import WEIGHER, digests_of
from tests.servers import RedisServer

LOG = records(Activity(31, partitions=1, licenses=40).appendables(600), seed=31)[0]
CATALOG_LOG = catalog_log(7, 150)
SERVES, BUILT = Keys(0, "1"), Keys(0, "2")
CATALOG_BUILT = Keys(CATALOG, "2")
Value = str | int
Stored = dict[str, bytes | dict[bytes, int]]


class TwoLogs:
    """The log of the license partition, and that of the catalog."""

    async def records(
        self, place: int, *, start: int, stop: int
    ) -> AsyncGenerator[Sequence[LogRecord], None]:
        yield (CATALOG_LOG if place == CATALOG else LOG)[start:stop]


class Replica:
    """Generation 1, which serves, and generation 2, which was built, in a Redis."""

    def __init__(self, client: redis.Redis, store: Store) -> None:
        self.client = client
        self.proving = Proving(
            store,
            TwoLogs(),
            WEIGHER,
            Discards(MemoryLog(1)),
            partitions=1,
            generation="2",
        )

    def put(self, stored: Mapping[str, bytes | Mapping[bytes, int]]) -> None:
        for name, value in stored.items():
            if isinstance(value, bytes):
                self.client.set(name, value)
            else:
                self.client.zadd(name, dict(value))

    def stored(self, prefix: str) -> Stored:
        found: Stored = {}
        for name in sorted(self.client.scan_iter(f"{prefix}*", count=1_000)):
            if self.client.type(name) == b"string":
                value = self.client.get(name)
                assert isinstance(value, bytes)
                found[name.decode()] = value
            else:
                found[name.decode()] = self.members(name.decode())
        return found

    def members(self, name: str) -> dict[bytes, int]:
        """Members of a list with their scores, lowest first."""
        members: Any = self.client.zrange(name, 0, -1, withscores=True)
        return {member: int(score) for member, score in members}

    def names(self, keys: Keys, kind: str) -> list[str]:
        names = self.client.scan_iter(f"{keys.prefix}{kind}:*", count=1_000)
        return sorted(name.decode() for name in names)

    def document(self, name: str) -> bytes:
        value = self.client.get(name)
        assert isinstance(value, bytes)
        return value

    def sum_anew(self, keys: Keys, **changes: Value) -> None:
        """Keep the digests of what is there, as a fold would that has made it so."""
        state, documents = digests_of(self.stored(keys.prefix), keys.prefix)
        kept = read_digests(self.document(keys.digests))
        digests = replace(kept, state=state, documents=documents, **changes)
        self.client.set(keys.digests, digests_document(digests))

    def reheaded(self, keys: Keys, **changes: Value) -> None:
        head = read_head(self.document(keys.head))
        self.client.set(keys.head, head_document(replace(head, **changes)))


def _partition(keys: Keys, log: Sequence[LogRecord] = LOG) -> Stored:
    folding = BulkFold(0, 1)
    folding.take(log)
    rendering = Rendering(folding.held, keys, WEIGHER)
    stored: Stored = dict(rendering.strings())
    for name, members in rendering.sorted_sets():
        encoded = {
            one if isinstance(one, bytes) else one.encode(): at for one, at in members.items()
        }
        stored[name] = {**stored.get(name, {}), **encoded}  # type: ignore[dict-item]
    digests = rendering.digests(folding.position)
    return {
        **stored,
        keys.head: head_document(folding.head),
        keys.digests: digests_document(digests),
    }


async def _catalog(keys: Keys) -> Stored:
    model = MemoryReadModel()
    async with projecting(model, CATALOG_LOG) as session:
        await reached(session, len(CATALOG_LOG))
    first = Keys(CATALOG)
    held: Stored = {**model.strings, **{name: dict(of) for name, of in model.sorted_sets.items()}}
    return {
        keys.prefix + first.short(name): value
        for name, value in held.items()
        if name.startswith(first.prefix)
    }


@pytest.fixture
async def replica(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Replica]:
    monkeypatch.setattr(proving, "SETTLED_S", 0.0)
    async with _replica(redis_server) as made:
        yield made


@asynccontextmanager
async def _replica(server: RedisServer) -> AsyncIterator[Replica]:
    store = Store(server.url)
    with redis.Redis.from_url(server.url) as client:
        made = Replica(client, store)
        for keys in (SERVES, BUILT):
            made.put(_partition(keys))
            made.put(await _catalog(Keys(CATALOG, keys.generation)))
        yield made
    await store.close()


async def _differs(replica: Replica) -> NotProvedError:
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.compare("1")
    return raised.value


async def _is_wrong(replica: Replica) -> NotProvedError:
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.read_back()
    return raised.value


async def test_what_is_equal_is_proved(replica: Replica) -> None:
    found = await replica.proving.read_back()
    assert sum(one.rendered for one in found.values()) >= 1
    assert await replica.proving.compare("1") == Proof(
        compared=2, documents=2, by_cut=0, one_by_one=0, frozen={}
    )
    await replica.proving.by_log()
    changes = (await replica.proving.changes("1")).changes
    assert changes is not None
    assert changes.count == 0


# What serves, and what was built, at one position


def _younger(replica: Replica, keys: Keys, name: str) -> bytes:
    """Have all commands of a list be remembered from 7 ms later on."""
    members = replica.members(name)
    replica.client.delete(name)
    later = {
        b"%d:%b" % (int(one.split(b":")[0]) + 7, one.split(b":")[1]): at
        for one, at in members.items()
    }
    replica.client.zadd(name, later)
    replica.sum_anew(keys)
    return min(later, key=lambda one: (later[one], one))


async def test_a_clock_of_what_is_remembered_is_named(replica: Replica) -> None:
    name = replica.names(SERVES, "K")[5]
    member = _younger(replica, SERVES, name)
    error = await _differs(replica)
    license_ = name.split(":")[3]
    assert {one.owner for one in error.differences} == {license_}
    assert license_ in error.wrong[0][0]
    serves = next(one for one in error.differences if one.there is None)
    assert serves.name == f"K:{license_} {member.decode()}"
    assert any(one.expected is None for one in error.differences)


async def test_a_record_set_aside_is_named(replica: Replica) -> None:
    name = SERVES.set_aside("unroutable")
    replica.client.zadd(name, {b"7:7:what nobody has folded": 7})
    replica.sum_anew(SERVES)
    error = await _differs(replica)
    assert [(one.name, one.owner, one.there, one.expected) for one in error.differences] == [
        ("Q:unroutable 7:7:what nobody has folded", "unroutable", None, b"7")
    ]


async def test_digests_that_nothing_explains_are_no_proof(replica: Replica) -> None:
    kept = read_digests(replica.document(SERVES.digests))
    other = replace(kept, state=plus(kept.state, 1))
    replica.client.set(SERVES.digests, digests_document(other))
    error = await _differs(replica)
    assert "no document and no remembered command does" in error.wrong[0][0]
    [difference] = error.differences
    assert (difference.name, difference.there) != (difference.name, difference.expected)
    assert other.state.encode() in (difference.expected or b"")


def _newly_frozen(stored: Stored, keys: Keys) -> str:
    """The license that isn't frozen where nothing fails."""
    name = keys.set_aside("frozen")
    [license_] = stored[name].keys() - _partition(keys).get(name, {}).keys()  # type: ignore[union-attr]
    return license_.decode()


async def test_what_is_frozen_in_one_only_hides_nothing_else(replica: Replica) -> None:
    with failing_at({len(LOG) // 2}):
        frozen = _partition(SERVES)
    replica.client.delete(*(name for name in replica.stored(SERVES.prefix)))
    replica.put(frozen)
    license_ = _newly_frozen(frozen, SERVES)
    proof = await replica.proving.compare("1")
    assert proof == Proof(compared=1, documents=1, by_cut=0, one_by_one=1, frozen={0: [license_]})

    name = next(one for one in replica.names(SERVES, "K") if license_ not in one)
    _younger(replica, SERVES, name)
    error = await _differs(replica)
    assert {one.owner for one in error.differences} == {name.split(":")[3]}
    # Where nothing is left out, the frozen one is a change, too.
    changes = (await replica.proving.changes("1")).changes
    assert changes is not None
    assert set(changes.owners[0]) == {license_, name.split(":")[3]}


async def test_what_an_older_release_keeps_no_digests_of_is_compared_one_by_one(
    replica: Replica,
) -> None:
    replica.client.delete(SERVES.digests)
    assert await replica.proving.compare("1") == Proof(
        compared=1, documents=1, by_cut=0, one_by_one=1, frozen={}
    )
    replica.client.zadd(replica.names(SERVES, "K")[0], {b"1:nobody's": 1})
    assert (await _differs(replica)).count == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("chain", "ab" * 32), ("before_last", "ab" * 32), ("timestamp_ms", 7), ("elapsed_ms", 7)],
)
async def test_the_chain_and_the_clock_are_compared(
    replica: Replica, field: str, value: Value
) -> None:
    replica.reheaded(BUILT, **{field: value, "level_at_ms": 5})
    error = await _differs(replica)
    assert field in error.wrong[0][0]
    [difference] = error.differences
    assert (difference.name, difference.owner) == ("head", "head")
    assert str(value).encode() in (difference.there or b"")


async def test_when_each_was_level_and_what_an_older_release_does_not_keep_is_no_difference(
    replica: Replica,
) -> None:
    replica.reheaded(BUILT, level_at_ms=5)
    replica.reheaded(SERVES, level_at_ms=9, before_last="")
    assert (await replica.proving.compare("1")).compared == 2


async def test_what_differs_in_many_licenses_says_how_many(replica: Replica) -> None:
    names = replica.names(SERVES, "L")
    for name in names:
        state, _, answer = replica.document(name).partition(b"\n")
        changed = replace(read_license(state + b"\n"), uses=77)
        assert answer
        replica.client.set(name, license_document(changed))
    replica.sum_anew(SERVES)
    error = await _differs(replica)
    assert error.count == len(names) > 30
    assert len(error.differences) == 20
    assert f"and {len(names) - 10} more" in error.wrong[0][0]


async def test_another_view_is_no_difference_and_another_state_is(replica: Replica) -> None:
    for name in replica.names(SERVES, "L"):
        replica.client.set(name, replica.document(name).replace(b'"links"', b'"knils"'))
    replica.sum_anew(SERVES, view=VIEW + 1)
    assert await replica.proving.compare("1") == Proof(
        compared=2, documents=1, by_cut=0, one_by_one=0, frozen={}
    )
    _younger(replica, SERVES, replica.names(SERVES, "K")[3])
    error = await _differs(replica)
    assert {one.name[0] for one in error.differences} == {"K"}


# A busy log: the two are never at one position


def _cut(replica: Replica, keys: Keys, position: int, **changes: Value) -> None:
    """Have a generation stand at a position, and have cut its digests before."""
    head = read_head(replica.document(keys.head))
    kept = read_digests(replica.document(keys.digests))
    cut = Cut(position=512, state=kept.state, documents=kept.documents, chain=head.chain)
    replica.client.set(keys.head, head_document(replace(head, position=position)))
    digests = replace(kept, position=position, cut=replace(cut, **changes))
    replica.client.set(keys.digests, digests_document(digests))


async def test_a_busy_partition_is_proved_by_the_last_cut(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "NOW_S", 0.05)
    _cut(replica, SERVES, 900)
    _cut(replica, BUILT, 890)
    assert await replica.proving.compare("1") == Proof(
        compared=2, documents=2, by_cut=1, one_by_one=0, frozen={}
    )
    _cut(replica, BUILT, 890, chain="ab" * 32)
    assert "chain" in (await _differs(replica)).wrong[0][0]


async def test_a_cut_that_differs_is_no_proof(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "NOW_S", 0.05)
    _cut(replica, SERVES, 900)
    _cut(replica, BUILT, 890, state="ab" * 16)
    assert "no document and no remembered command does" in (await _differs(replica)).wrong[0][0]


async def test_of_a_busy_partition_it_is_named_what_differs(
    replica: Replica, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One comes to where the other was, and what each holds stays as it was."""
    _younger(replica, SERVES, replica.names(SERVES, "K")[5])
    looks = 0
    store = Store(redis_server.url)
    seen = store.paged

    async def go_on(
        names: Sequence[str], lists: Sequence[str], start: int
    ) -> tuple[list[bytes | None], list[Page]]:
        nonlocal looks
        looks += 1
        replica.reheaded(SERVES, position=1_005 + 8 * looks)
        replica.reheaded(BUILT, position=1_000 + 8 * looks)
        return await seen(names, lists, start)

    monkeypatch.setattr(store, "paged", go_on)
    found = await beside_another(store, 0, "2", "1")
    await store.close()
    assert {one.name[0] for one in found} == {"K"}
    assert looks > 1


async def test_a_generation_that_nobody_folds_on_is_told(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "STUCK_S", 0.1)
    replica.reheaded(SERVES, position=900)
    with pytest.raises(NotProvedError, match="isn't folded on"):
        await replica.proving.compare("1")


# What was built, read back


@pytest.mark.parametrize("kind", "EUSC")
async def test_a_flipped_byte_of_the_catalog_is_named(replica: Replica, kind: str) -> None:
    name = replica.names(CATALOG_BUILT, kind)[0]
    before = replica.document(name)
    after = bytes((before[0] ^ 1, *before[1:]))
    replica.client.set(name, after)
    error = await _is_wrong(replica)
    assert list(error.wrong) == [CATALOG]
    [difference] = error.differences
    short = CATALOG_BUILT.short(name)
    assert (difference.name, difference.place) == (short, CATALOG)
    assert difference.owner == short.partition(":")[2]
    assert (difference.there, difference.expected) == (after, before)


async def test_the_order_of_forgetting_is_read_back(replica: Replica) -> None:
    name = replica.names(BUILT, "K")[4]
    member, score = next(iter(replica.members(name).items()))
    replica.client.zadd(name, {member: score + 1})
    [difference] = (await _is_wrong(replica)).differences
    assert difference.name == f"{BUILT.short(name)} {member.decode()}"
    assert (difference.there, difference.expected) == (b"%d" % (score + 1), b"%d" % score)


async def test_a_list_that_lacks_a_member_names_the_license(replica: Replica) -> None:
    name = replica.names(BUILT, "A")[0]
    member = list(replica.members(name))[2]
    replica.client.zrem(name, member)
    [difference] = (await _is_wrong(replica)).differences
    assert difference.owner == member.decode()
    assert difference.there is None


async def test_a_key_that_was_not_deleted_names_the_license(replica: Replica) -> None:
    name = replica.names(BUILT, "C")[0]
    owner = name.split(":")[3]
    replica.client.set(BUILT.command(owner, "long-forgotten"), replica.document(name))
    [difference] = (await _is_wrong(replica)).differences
    assert (difference.name, difference.owner) == (f"C:{owner}:long-forgotten", owner)
    assert difference.expected is None


async def test_what_froze_while_it_was_built_is_shown_and_not_left_out(replica: Replica) -> None:
    with failing_at({len(LOG) // 2}):
        frozen = _partition(BUILT)
    replica.client.delete(*(name for name in replica.stored(BUILT.prefix)))
    replica.put(frozen)
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.by_log()
    assert _newly_frozen(frozen, BUILT) in {one.owner for one in raised.value.differences}


async def test_an_answer_that_is_rendered_otherwise_is_found_by_the_sample(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a changed view no digest says so: what serves has others in any case."""
    name = next(one for one in replica.names(BUILT, "L") if b'"links"' in replica.document(one))
    after = replica.document(name).replace(b'"links"', b'"knils"')
    replica.client.set(name, after)
    replica.sum_anew(BUILT)
    monkeypatch.setattr(reading_back, "SAMPLE", 1)
    error = await _is_wrong(replica)
    license_ = name.split(":")[3]
    assert f"the documents of licenses {license_} aren't as they are rendered" in error.wrong[0]
    [difference] = error.differences
    assert (difference.owner, difference.there) == (license_, after)


# Proved by the log, where what serves is wrong


def _wrong_fold(replica: Replica, keys: Keys, license_: str) -> None:
    document = replica.document(keys.license(license_))
    wrong = replace(read_license(document), uses=77)
    replica.client.set(keys.license(license_), license_document(wrong))
    replica.sum_anew(keys)


async def test_by_the_log_it_may_differ_from_what_serves(replica: Replica) -> None:
    licenses = [name.split(":")[3] for name in replica.names(SERVES, "L")]
    _wrong_fold(replica, SERVES, licenses[3])
    replica.reheaded(SERVES, elapsed_ms=7)
    await _differs(replica)
    await replica.proving.by_log()
    proof = await replica.proving.changes("1")
    assert (proof.compared, proof.one_by_one) == (1, 0)
    assert proof.changes is not None
    assert {place: set(each) for place, each in proof.changes.owners.items()} == {
        0: {licenses[3], "head"}
    }
    assert b'"uses":77' in (proof.changes.differences[-1].expected or b"")

    see_to_agreed(proof, proof.changes)
    with pytest.raises(NotProvedError, match="more would change"):
        see_to_agreed(proof, None)
    _wrong_fold(replica, SERVES, licenses[4])
    more = await replica.proving.changes("1")
    with pytest.raises(NotProvedError) as raised:
        see_to_agreed(more, proof.changes)
    assert re.search(licenses[4], raised.value.wrong[0][0])
    assert licenses[3] not in raised.value.wrong[0][0]


@pytest.mark.parametrize("spoil", ["state", "digests", "head"])
async def test_what_the_log_does_not_say_is_not_proved_by_it(replica: Replica, spoil: str) -> None:
    license_ = replica.names(BUILT, "L")[3].split(":")[3]
    spoiling: dict[str, Callable[[], object]] = {
        "state": lambda: _wrong_fold(replica, BUILT, license_),
        "digests": lambda: replica.client.set(
            BUILT.digests, digests_document(Digests(position=len(LOG), view=VIEW))
        ),
        "head": lambda: replica.reheaded(BUILT, elapsed_ms=7),
    }
    spoiling[spoil]()
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.by_log()
    assert raised.value.against == "the log"
    assert list(raised.value.wrong) == [0]
    if spoil == "state":
        assert [one.owner for one in raised.value.differences] == [license_]
