"""A rebuild of a replica under test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import redis
from msgspec.structs import replace

from ledger.domain.identifiers import Pepper
from ledger.settings import read_settings
from projector.read_model.keys import Keys
from projector.rebuild.built import Built
from projector.rebuild.intent import Intent, Phase
from projector.rebuild.run import Run, begun
from projector.rebuild.site import Site
from projector.release import release
from projector.views.digests import VIEW, digests_document, read_digests
from projector.views.documents import license_document, read_license
from tests.projector.independent import stored_in_redis
from tests.projector.replica import PARTITIONS, PEPPER, Replica
from tests.projector.weighing import digests_of
from tests.servers import ROOT

WINDOW_S = 600


def environment(urls: Sequence[str]) -> dict[str, str]:
    """Settings of a ledger with these replicas, for what asks no broker."""
    return {
        "LEDGER_KAFKA": "127.0.0.1:1",
        "LEDGER_REPLICAS": ",".join(urls),
        "LEDGER_PARTITIONS": str(PARTITIONS),
        "LEDGER_PEPPER": PEPPER,
        "LEDGER_SEAL_KEYS": f"k1:{PEPPER}",
        "LEDGER_LOCAL": "1",
    }


def intent(phase: Phase, *, until_ms: int = 0, dropped: str = "") -> Intent:
    return Intent(
        generation="2",
        previous="1",
        phase=phase,
        ends=(7,) * PARTITIONS,
        view=VIEW,
        release=release(),
        started_ms=1,
        until_ms=until_ms,
        dropped=dropped,
    )


@asynccontextmanager
async def at(replica: Replica) -> AsyncIterator[Site]:
    site = Site(read_settings(replica.environment), 0)
    try:
        yield site
    finally:
        await site.close()


def run_of(replica: Replica, site: Site, plants: Path | None = None) -> Run:
    """A run whose builders have what is planted in a folder's `sitecustomize.py`."""
    folders = [str(ROOT)] if plants is None else [str(plants), str(ROOT)]
    return Run(site, {**replica.environment, "PYTHONPATH": os.pathsep.join(folders)})


async def rebuilt(replica: Replica, site: Site, *, window_s: int = WINDOW_S) -> Built:
    """Build, prove and flip, as `ledger rebuild run` does."""
    async with site.alone():
        run = run_of(replica, site)
        built = await run.build(await begun(site), builders=2, memory_mb=2_000)
        await run.flip(await begun(site), window_s=window_s)
        return built


def generations(replica: Replica) -> set[str]:
    """Generations that there are keys of."""
    with redis.Redis.from_url(replica.store.url) as client:
        return {
            name.split(b":")[1].decode()
            for name in client.scan_iter(count=1000)
            if name.split(b":")[1].isdigit()
        }


async def served(site: Site) -> set[str]:
    found = await site.store.serving(site.places)
    assert len(found) == PARTITIONS + 1
    return set(found.values())


def some_license(client: redis.Redis, generation: str) -> bytes:
    """Name of a live license's document."""
    names: list[bytes] = sorted(client.scan_iter(f"*:{generation}:L:*", count=1000))
    return next(name for name in names if b'"links"' in (client.get(name) or b""))


def wrong_fold(url: str, pepper: Pepper) -> str:
    """Have the first generation hold a license as a fold with a bug would have made it."""
    with redis.Redis.from_url(url) as client:
        name = some_license(client, "1").decode()
        keys = Keys(int(name[2:4]), "1")
        document, kept = client.get(name), client.get(keys.digests)
        assert isinstance(document, bytes)
        assert isinstance(kept, bytes)
        client.set(name, license_document(replace(read_license(document), seats_peak=99)))
        state, documents = digests_of(stored_in_redis(url, keys.partition), keys.prefix, pepper)
        digests = replace(read_digests(kept), state=state, documents=documents)
        client.set(keys.digests, digests_document(digests))
    return name.split(":")[3]
