"""A rebuild of a real log in a real Redis beside a real projector: to the flip, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis

from ledger.settings import read_settings
from projector.rebuild.exchange import finish, flip, undo
from projector.rebuild.run import Done, Run, begun
from projector.rebuild.site import Site
from tests.activity import Activity
from tests.projector.replica import PARTITIONS, Replica, load
from tests.servers import ROOT

WINDOW_S = 600


@asynccontextmanager
async def at(replica: Replica) -> AsyncIterator[Site]:
    site = Site(read_settings(replica.environment), 0)
    try:
        yield site
    finally:
        await site.close()


async def rebuilt(replica: Replica, site: Site, *, window_s: int = WINDOW_S) -> Done:
    async with site.alone():
        run = Run(site, {**replica.environment, "PYTHONPATH": str(ROOT)})
        return await run.run(await begun(site), builders=2, memory_mb=2_000, window_s=window_s)


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


async def test_it_is_built_proved_flipped_undone_and_flipped_again(replica: Replica) -> None:
    activity = Activity(11, partitions=PARTITIONS, licenses=60)
    await replica.append(list(activity.appendables(3_000)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        async with load(replica, activity):
            done = await rebuilt(replica, site)
            assert (done.generation, done.previous) == ("2", "1")
            assert done.proof.compared == done.proof.documents == PARTITIONS + 1
            assert done.events >= 3_000
            assert await served(site) == {"2"}
            intent = await site.store.intent()
            assert intent is not None
            assert intent.phase == "window"
            # The old one is folded on: it comes back with what has happened since.
            intent = await undo(site, intent, window_s=WINDOW_S)
            assert await served(site) == {"1"}
            intent = await flip(site, intent, window_s=WINDOW_S)
            assert await served(site) == {"2"}
        async with site.alone():
            assert await finish(site, intent) > 100
        assert await site.store.intent() is None
        assert generations(replica) == {"2"}
    replica.generation = "2"
    await replica.assert_equals_an_independent_fold()
