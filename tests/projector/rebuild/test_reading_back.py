"""Reading back: what is whole has no trouble, and what can't even be read is named all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis

from projector.read_model.keys import Keys
from projector.rebuild.bulk import BulkFold
from projector.rebuild.reading_back import Found, ReadingBack
from projector.rebuild.rendering import Rendering
from projector.rebuild.store import Store
from projector.views.digests import digests_document
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
