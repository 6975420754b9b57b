"""Reading back: what is whole has no trouble, and what can't even be read is named all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import redis

from projector.read_model.keys import Keys
from projector.rebuild import reading_back
from projector.rebuild.bulk import BulkFold
from projector.rebuild.found import Found
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.rendering import Rendering
from projector.rebuild.store import Store
from projector.views.digests import digests_document, plus, read_digests
from projector.views.documents import head_document
from tests.activity import Activity, records
from tests.projector.weighing import WEIGHER
from tests.servers import RedisServer

NAMES = Keys(0, "2")


@pytest.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Store]:
    """A generation of one partition, as a builder writes it."""
    folding = BulkFold(0, 1)
    folding.take(records(Activity(8, partitions=1, licenses=15).appendables(600), seed=8)[0])
    rendering, made = Rendering(folding.held, NAMES, WEIGHER), Store(redis_server.url)
    await made.write(list(rendering.strings()), rendering.sorted_sets())
    digests = digests_document(rendering.digests(folding.position))
    await made.write([(NAMES.digests, digests), (NAMES.head, head_document(folding.head))])
    yield made
    await made.close()


async def _found(store: Store) -> Found:
    return (await ReadingBack(store, WEIGHER, "2", [0]).run())[0]


async def test_what_a_builder_has_written_has_no_trouble(store: Store) -> None:
    found = await _found(store)
    assert found.trouble == []
    assert found.stale == []
    assert {"L", "M", "C", "K", "I"} <= found.counted.keys()


@pytest.mark.parametrize("kind", ["L", "M", "C", "head", "digests"])
@pytest.mark.parametrize("junk", [b"", b"{", b"\xff\n\n", b'{"id":7}\n\n'], ids=repr)
async def test_what_cannot_be_read_is_named(
    store: Store, redis_server: RedisServer, kind: str, junk: bytes
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        [name, *_] = sorted(client.scan_iter(f"{NAMES.prefix}{kind}*", count=1_000))
        client.set(name, junk)
    trouble = " ".join((await _found(store)).trouble)
    named = name.decode().split(":")[3] if kind in {"L", "M"} else "digest"
    assert named in trouble


async def test_a_command_is_remembered_where_it_was_decided(
    store: Store, redis_server: RedisServer
) -> None:
    """The score is the order in which commands are forgotten, and in no digest."""
    with redis.Redis.from_url(redis_server.url) as client:
        [name, *_] = sorted(client.scan_iter(f"{NAMES.prefix}K:*", count=1_000))
        [(member, score)] = client.zrange(name, 0, 0, withscores=True)
        client.zadd(name, {member: score + 1})
    command = member.decode().partition(":")[2]
    license_ = name.decode().split(":")[3]
    [told] = (await _found(store)).trouble
    wrong = f"of {license_} the verdict on {command} is remembered at {score + 1:.0f}"
    assert told == f"{wrong}, and was decided at {score:.0f}"


@pytest.mark.parametrize(("kind", "named"), [("K", "remembered command"), ("I", "machine")])
async def test_a_member_that_cannot_be_read_is_named(
    store: Store, redis_server: RedisServer, kind: str, named: str
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        [name, *_] = sorted(client.scan_iter(f"{NAMES.prefix}{kind}:*", count=1_000))
        client.zadd(name, {b"\xffjunk": 7})
    trouble = (await _found(store)).trouble
    license_ = name.decode().split(":")[3]
    assert any(named in one and license_ in one for one in trouble), trouble


async def test_much_trouble_says_how_much(store: Store, redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        names = sorted(client.scan_iter(f"{NAMES.prefix}C:*", count=1_000))[:25]
        client.delete(*names)
    trouble = (await _found(store)).trouble
    assert len(trouble) == 21
    # 25 verdicts, of which 20 are told; and the digest, which lacks them.
    assert trouble[-1] == "and 6 more like these"


def _spoil(client: redis.Redis, license_: str) -> None:
    """Write a license's answer otherwise, and the digest as if it had been rendered so."""
    name = NAMES.license(license_)
    before, digests = client.get(name), client.get(NAMES.digests)
    assert isinstance(before, bytes)
    assert isinstance(digests, bytes)
    after = before.replace(b'"links"', b'"knils"')
    assert after != before
    kept = read_digests(digests)
    weights = [WEIGHER.weigh_license(f"L:{license_}", one)[1] for one in (before, after)]
    documents = plus(kept.documents, weights[1] - weights[0])
    client.set(name, after)
    client.set(NAMES.digests, digests_document(msgspec.structs.replace(kept, documents=documents)))


def _lives(client: redis.Redis) -> list[str]:
    names = sorted(client.scan_iter(f"{NAMES.prefix}L:*", count=1_000))
    return [one.decode().split(":")[3] for one in names if b'"links"' in (client.get(one) or b"")]


async def test_one_of_so_many_licenses_is_rendered_anew(
    store: Store, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        lives = _lives(client)
        for license_ in lives:
            _spoil(client, license_)
    monkeypatch.setattr(reading_back, "SAMPLE", 4)
    found = [await _found(store) for _ in range(8)]
    assert all(one.trouble == [] for one in found)
    samples = [frozenset(one.stale) for one in found]
    assert len(set(samples)) > 1
    assert all(sample < set(lives) for sample in samples)
    monkeypatch.setattr(reading_back, "SAMPLE", 1)
    every = await _found(store)
    assert set(every.stale) == set(lives)
    assert every.rendered == every.counted["L"]


async def test_of_each_place_a_license_is_rendered_anew(
    store: Store, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_back, "SAMPLE", 1 << 32)
    found = await _found(store)
    assert (found.rendered, found.stale) == (1, [])
    # The same sample once more, and what is to be rendered in any case.
    with redis.Redis.from_url(redis_server.url) as client:
        lives = _lives(client)
        _spoil(client, lives[-1])
    again = ReadingBack(store, WEIGHER, "2", [0], salt=7, also=lives[-1:])
    found = (await again.run())[0]
    assert found.stale == lives[-1:]
    assert found.rendered in {1, 2}
