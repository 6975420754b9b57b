"""A rebuild of a real log in a real Redis beside a real projector: to the flip, and back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
from collections.abc import Sequence

import pytest
import redis

from cli.rebuilding.showing import print_built
from projector.read_model.keys import FROZEN, Keys
from projector.rebuild.builders import Builders
from projector.rebuild.built import Built
from projector.rebuild.exchange import finish, flip, undo
from projector.rebuild.progress import PROGRESS_KEY, Progress, read_progress
from projector.rebuild.proof import NotProvedError
from projector.rebuild.run import Run, begun
from projector.rebuild.site import RebuildRefusedError
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import WINDOW_S, at, generations, rebuilt, run_of, served
from tests.projector.replica import PARTITIONS, Replica, eventually, load


async def test_it_is_built_proved_flipped_undone_and_flipped_again(replica: Replica) -> None:
    activity = Activity(11, partitions=PARTITIONS, licenses=60)
    await replica.append(list(activity.appendables(3_000)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        async with load(replica, activity, piece=10):
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


@pytest.mark.slow
async def test_the_window_closes_by_itself(replica: Replica) -> None:
    await replica.append(list(Activity(12, partitions=PARTITIONS, licenses=20).appendables(400)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        await rebuilt(replica, site, window_s=2)

        async def over() -> bool:
            return await site.store.intent() is None

        await eventually(over, what="the window is closed")
        assert generations(replica) == {"2"}
    replica.generation = "2"
    await replica.assert_equals_an_independent_fold()


async def test_what_was_built_is_given_up_without_a_trace(replica: Replica) -> None:
    await replica.append(list(Activity(13, partitions=PARTITIONS, licenses=20).appendables(400)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        async with site.alone():
            built = await run_of(replica, site).build(
                await begun(site), builders=1, memory_mb=2_000
            )
            assert built.generation == "2"
            intent = await site.store.intent()
            assert intent is not None
            assert intent.phase == "proved"
            assert await served(site) == {"1"}
            assert await finish(site, intent) > 100
        assert await site.store.intent() is None
        assert generations(replica) == {"1"}
    await replica.assert_equals_an_independent_fold()


async def test_a_partition_that_fits_no_builder_is_folded_through_the_store(
    replica: Replica,
) -> None:
    await replica.append(list(Activity(14, partitions=PARTITIONS, licenses=30).appendables(1_500)))
    await replica.start()
    await replica.level()
    async with at(replica) as site, site.alone():
        told: list[Progress] = []
        built = await Run(site, replica.environment, told.append).build(
            await begun(site), builders=1, memory_mb=1
        )
        assert built.proof.compared == PARTITIONS + 1
        assert {"building", "catching up"} <= set(built.seconds)
        # It counts as built when it is, and people are told which partitions these are.
        assert list(built.too_large) == list(range(PARTITIONS))
        assert told[-1].too_large == tuple(range(PARTITIONS))
        assert told[-1].events == told[-1].events_total == built.events
        assert all(one.events < built.events for one in told if one.phase == "building")


@pytest.mark.slow
async def test_what_was_built_is_not_built_again(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replica.append(
        list(Activity(16, partitions=PARTITIONS, licenses=100).appendables(16_000))
    )
    await replica.start()
    await replica.level()
    asked: list[list[tuple[int, int]]] = []
    build = Builders.build

    async def noted(self: Builders, generation: str, ends: Sequence[tuple[int, int]]) -> None:
        asked.append(list(ends))
        await build(self, generation, ends)

    monkeypatch.setattr(Builders, "build", noted)
    async with at(replica) as site, site.alone():
        intent = await begun(site)
        building = asyncio.create_task(
            run_of(replica, site).build(intent, builders=1, memory_mb=2_000)
        )

        async def there() -> set[int]:
            heads = await site.heads(intent.generation)
            return {place for place in range(PARTITIONS) if heads[place].position}

        async def some() -> bool:
            return bool(await there())

        await eventually(some, what="a partition is built")
        building.cancel()
        await asyncio.wait([building])
        built = await there()
        assert 0 < len(built) < PARTITIONS
        told: list[Progress] = []
        run = Run(site, run_of(replica, site).environment, told.append)
        await run.build(await begun(site), builders=1, memory_mb=2_000)
    first, second = asked
    assert {place for place, _ in first} == set(range(PARTITIONS))
    assert {place for place, _ in second} == set(range(PARTITIONS)) - built
    # What was there counts from the beginning, and not as work of this run.
    before = sum(end for place, end in first if place in built)
    moments = [one for one in told if one.phase == "building"]
    assert min(one.events for one in moments) >= before
    assert moments[0].events_per_s == 0.0


async def test_one_works_on_a_replica_at_a_time(replica: Replica) -> None:
    await replica.start()
    async with at(replica) as one, at(replica) as other, one.alone():
        with pytest.raises(RebuildRefusedError, match="another process"):
            async with other.alone():
                pass


async def test_a_replica_that_holds_nothing_is_not_rebuilt(replica: Replica) -> None:
    async with at(replica) as site, site.alone():
        with pytest.raises(RebuildRefusedError, match="holds nothing"):
            await begun(site)


async def test_how_far_it_is_can_be_seen_from_elsewhere(replica: Replica) -> None:
    await replica.append(list(Activity(15, partitions=PARTITIONS, licenses=20).appendables(400)))
    await replica.start()
    await replica.level()
    async with at(replica) as site:
        await rebuilt(replica, site)
    with redis.Redis.from_url(replica.store.url) as client:
        document = client.get(PROGRESS_KEY)
    assert isinstance(document, bytes)
    moment = read_progress(document)
    assert moment.events == moment.events_total > 400
    assert moment.percent > 90
    assert moment.memory_bytes > 0


async def test_a_follower_that_ends_while_it_connects_leaves_no_connection(
    replica: Replica,
) -> None:
    """As it does where what was built is level at once; what is left open warns, which fails."""
    async with at(replica) as site:
        for after_ms in range(0, 30, 2):
            following = site.following("9")
            following.start()
            await asyncio.sleep(after_ms / 1000)
            await following.stop()
    gc.collect()


async def test_what_only_an_older_release_has_frozen_is_left_out_and_listed(
    replica: Replica,
) -> None:
    """It is frozen in what serves, and not in what is built: the rest is compared."""
    activity = Activity(17, partitions=PARTITIONS, licenses=20)
    items = list(activity.appendables(300))
    poison = json.loads(items[-1].value or b"")
    license_, partition = poison["subject"], items[-1].partition
    older = replica.projector(changes={"OLDER_CANNOT_FOLD": poison["id"]})
    older.module = "tests.projector.older_release"
    await asyncio.to_thread(older.start)
    await replica.append(items)
    await replica.append(list(activity.appendables(200)))
    await replica.level()
    with redis.Redis.from_url(replica.store.url) as client:
        names = Keys(partition, "1")
        assert client.zrange(names.set_aside(FROZEN), 0, -1) == [license_.encode()]
    async with at(replica) as site, site.alone():
        built = await run_of(replica, site).build(await begun(site), builders=1, memory_mb=2_000)
        assert built.proof.frozen == {partition: [license_]}
        assert (built.proof.compared, built.proof.one_by_one) == (PARTITIONS, 1)
        # Whatever else differs there is found as ever.
        with redis.Redis.from_url(replica.store.url) as client:
            other = next(
                name
                for name in client.scan_iter(f"{names.prefix}M:*", count=1000)
                if license_.encode() not in (client.get(name) or b"")
            )
            kept = client.get(other)
            assert isinstance(kept, bytes)
            client.set(other, kept.replace(b'"fingerprint"', b'"tnirpregnif"'))
        with pytest.raises(NotProvedError, match=f"in partition {partition}$"):
            await run_of(replica, site).build(await begun(site), builders=1, memory_mb=2_000)
    lines = showing_of(built)
    assert f"left out in partition {partition}" in lines
    assert f"frozen in one only: {license_}" in lines


def showing_of(built: Built) -> str:
    """What `ledger rebuild start` prints of it, as one line."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_built(built, serves=False, more={})
    return " ".join(out.getvalue().split())
