"""Two generations of a small ledger in a Redis, and the harm that may come to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis
from msgspec.structs import replace

from ledger.event_log.memory import MemoryLog
from projector.discards import Discards
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.memory import MemoryReadModel
from projector.reading import LogRecord
from projector.rebuild.bulk import BulkFold
from projector.rebuild.proving import Proving
from projector.rebuild.rendering import Rendering
from projector.rebuild.store import Store
from projector.views.digests import digests_document, read_digests
from projector.views.documents import head_document, read_head
from tests.activity import Activity, records
from tests.projector.catalog_activity import catalog_log
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


def partition(keys: Keys, log: Sequence[LogRecord] = LOG) -> Stored:
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


async def catalog(keys: Keys) -> Stored:
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


@asynccontextmanager
async def two_generations(server: RedisServer) -> AsyncIterator[Replica]:
    store = Store(server.url)
    with redis.Redis.from_url(server.url) as client:
        made = Replica(client, store)
        for keys in (SERVES, BUILT):
            made.put(partition(keys))
            made.put(await catalog(Keys(CATALOG, keys.generation)))
        yield made
    await store.close()


def younger(replica: Replica, keys: Keys, name: str) -> bytes:
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


def newly_frozen(stored: Stored, keys: Keys) -> str:
    """The license that isn't frozen where nothing fails."""
    name = keys.set_aside("frozen")
    [license_] = stored[name].keys() - partition(keys).get(name, {}).keys()  # type: ignore[union-attr]
    return license_.decode()
