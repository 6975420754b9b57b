"""The proof beside what serves: what agrees is equal; of any harm it is named what and whose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from projector.read_model.keys import Keys
from projector.rebuild import moments, proving
from projector.rebuild.differences import beside_another
from projector.rebuild.proof import NotProvedError, Proof
from projector.rebuild.store import Page, Store
from projector.views.digests import VIEW, Cut, digests_document, plus, read_digests
from projector.views.documents import head_document, license_document, read_head, read_license
from tests.projector.quarantined import failing_at
from tests.projector.rebuild.two_generations import (
    BUILT,
    LOG,
    SERVES,
    Replica,
    Value,
    newly_frozen,
    partition,
    two_generations,
    younger,
)
from tests.servers import RedisServer


@pytest.fixture
async def replica(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Replica]:
    monkeypatch.setattr(proving, "SETTLED_S", 0.0)
    async with two_generations(redis_server) as made:
        yield made


async def _differs(replica: Replica) -> NotProvedError:
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.compare("1")
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


async def test_a_clock_of_what_is_remembered_is_named(replica: Replica) -> None:
    name = replica.names(SERVES, "K")[5]
    member = younger(replica, SERVES, name)
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


async def test_what_is_frozen_in_one_only_hides_nothing_else(replica: Replica) -> None:
    with failing_at({len(LOG) // 2}):
        frozen = partition(SERVES)
    replica.client.delete(*(name for name in replica.stored(SERVES.prefix)))
    replica.put(frozen)
    license_ = newly_frozen(frozen, SERVES)
    proof = await replica.proving.compare("1")
    assert proof == Proof(compared=1, documents=1, by_cut=0, one_by_one=1, frozen={0: [license_]})

    name = next(one for one in replica.names(SERVES, "K") if license_ not in one)
    younger(replica, SERVES, name)
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
    younger(replica, SERVES, replica.names(SERVES, "K")[3])
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
    younger(replica, SERVES, replica.names(SERVES, "K")[5])
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
