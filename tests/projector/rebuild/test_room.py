"""A Redis that gets full while it is rebuilt: what serves keeps its room; there is a way out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from projector.rebuild.exchange import finish, undo
from projector.rebuild.intent import Foreseen
from projector.rebuild.progress import Progress
from projector.rebuild.room import Room, room_of
from projector.rebuild.run import Run, begun
from projector.rebuild.site import RebuildRefusedError, Site
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import at, generations, rebuilt, run_of, served
from tests.projector.replica import PARTITIONS, Replica

MB = 1 << 20


def test_a_part_of_the_limit_is_kept_for_what_serves() -> None:
    room = room_of({"maxmemory": 1_000 * MB, "used_memory": 900 * MB})
    assert room == Room(used=900 * MB, most=1_000 * MB)
    assert (room.free, room.reserve) == (100 * MB, 50 * MB)
    assert room.takes(50 * MB)
    assert not room.takes(50 * MB + 1)
    assert not room.is_tight
    assert Room(used=951 * MB, most=1_000 * MB).is_tight
    assert "100 MiB free of maxmemory 1,000 MiB" in room.said()
    assert "50 MiB of that are kept" in room.said()
    boundless = room_of({"maxmemory": 0, "used_memory": 5})
    assert (boundless.free, boundless.takes(1 << 60), boundless.is_tight) == (None, True, False)
    assert Room(used=0, most=40 * MB).reserve == 10 * MB


def limit(client: redis.Redis, *, of_used: float = 1.0, spare: int = 0) -> None:
    """Lower the limit to a share of what is used, and so much more."""
    client.config_set("maxmemory", int(of_used * int(client.info()["used_memory"])) + spare)


async def _interrupted(
    replica: Replica, site: Site, at_moment: Callable[[Progress], None]
) -> RebuildRefusedError:
    """Build, and do something at each moment; how it ends."""
    run = Run(site, run_of(replica, site).environment, at_moment)
    with pytest.raises(RebuildRefusedError) as caught:
        await run.build(await begun(site), builders=1, memory_mb=2_000)
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("of_used", [0.8, 1.1])
async def test_a_full_redis_stops_it_with_the_numbers_and_it_can_be_given_up(
    replica: Replica, of_used: float
) -> None:
    await replica.append(list(Activity(21, partitions=PARTITIONS, licenses=60).appendables(6_000)))
    await replica.start()
    await replica.level()
    with redis.Redis.from_url(replica.store.url) as client:
        async with at(replica) as site:
            told: list[Progress] = []

            def lower(moment: Progress) -> None:
                if not told and moment.phase == "building":
                    limit(client, of_used=of_used)
                    told.append(moment)

            async with site.alone():
                error = await _interrupted(replica, site, lower)
            assert "free of maxmemory" in str(error)
            assert "ledger rebuild cancel" in str(error)
            # Who comes again is told the same, and nothing is begun.
            async with site.alone():
                error = await _interrupted(replica, site, lambda _: None)
            assert "free of maxmemory" in str(error)
            limit(client, of_used=0.8)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("more", "x")
            async with site.alone():
                intent = await site.store.intent()
                assert intent is not None
                await finish(site, intent)
            assert await site.store.intent() is None
            client.config_set("maxmemory", 512 * MB)
            assert generations(replica) == {"1"}
            assert await served(site) == {"1"}
    await replica.assert_equals_an_independent_fold()


@pytest.mark.slow
async def test_there_is_a_way_back_in_a_full_redis(replica: Replica) -> None:
    await replica.append(list(Activity(23, partitions=PARTITIONS, licenses=20).appendables(600)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        await rebuilt(replica, site)
        assert await served(site) == {"2"}
        with redis.Redis.from_url(replica.store.url) as client:
            limit(client, of_used=0.8)
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                client.set("more", "x")
            async with site.alone():
                intent = await site.store.intent()
                assert intent is not None
                await undo(site, intent, window_s=600)
        assert await served(site) == {"1"}


async def test_what_is_left_to_build_must_have_room_when_it_goes_on(replica: Replica) -> None:
    await replica.append(list(Activity(22, partitions=PARTITIONS, licenses=40).appendables(2_000)))
    await replica.start()
    await replica.level()
    async with at(replica) as site, site.alone():
        intent = await begun(site, _foreseen(300 * MB))
        with redis.Redis.from_url(replica.store.url) as client:
            limit(client, spare=200 * MB)
            with pytest.raises(
                RebuildRefusedError, match="300 MiB, and the Redis has 200 MiB free"
            ):
                await run_of(replica, site).build(intent, builders=1, memory_mb=2_000)
            limit(client, spare=400 * MB)
        await run_of(replica, site).build(intent, builders=1, memory_mb=2_000)


def _foreseen(bytes_: int) -> Foreseen:
    return Foreseen(keys=10, folding_s=1, writing_s=1, reading_back_s=1, else_s=1, bytes=bytes_)
