"""The proof by the log: any harm to what was built is named; what serves may be what is wrong."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from projector.read_model.keys import CATALOG, Keys
from projector.rebuild import proving, reading_back
from projector.rebuild.proof import NotProvedError, see_to_agreed
from projector.views.digests import VIEW, Digests, digests_document
from projector.views.documents import license_document, read_license
from tests.projector.quarantined import failing_at
from tests.projector.rebuild.two_generations import (
    BUILT,
    CATALOG_BUILT,
    LOG,
    SERVES,
    Replica,
    newly_frozen,
    partition,
    two_generations,
)
from tests.servers import RedisServer


@pytest.fixture
async def replica(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Replica]:
    monkeypatch.setattr(proving, "SETTLED_S", 0.0)
    async with two_generations(redis_server) as made:
        yield made


async def _is_wrong(replica: Replica) -> NotProvedError:
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.read_back()
    return raised.value


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
        frozen = partition(BUILT)
    replica.client.delete(*(name for name in replica.stored(BUILT.prefix)))
    replica.put(frozen)
    with pytest.raises(NotProvedError) as raised:
        await replica.proving.by_log()
    assert newly_frozen(frozen, BUILT) in {one.owner for one in raised.value.differences}


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
    with pytest.raises(NotProvedError):
        await replica.proving.compare("1")
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
