"""What serves comes first: whatever builds holds still for it, and gives up where that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from projector.rebuild import watching
from projector.rebuild.building import Gate
from projector.rebuild.intent import Foreseen
from projector.rebuild.progress import Progress, Rate, Work
from projector.rebuild.run import Run, begun
from projector.rebuild.site import RebuildRefusedError, Site
from projector.rebuild.watching import Watch
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import at, run_of, served
from tests.projector.replica import PARTITIONS, ProjectorProcess, Replica, eventually

AGE_S = 2.5
"""By then what a frozen projector serves is too old."""


async def filled(replica: Replica, seed: int) -> ProjectorProcess:
    items = list(Activity(seed, partitions=PARTITIONS, licenses=60).appendables(6_000))
    await replica.append(items)
    projector = await replica.start()
    await replica.level()
    async with at(replica) as site:

        async def noted() -> bool:
            return all(head.level_at_ms for head in (await site.heads("1")).values())

        # How old what serves is can't be told before it was level once.
        await eventually(noted, what="when it was level")
    return projector


def watched(replica: Replica, site: Site, told: list[Progress]) -> Run:
    return Run(site, run_of(replica, site).environment, told.append)


async def until(told: list[Progress], condition: Callable[[Progress], bool], what: str) -> None:
    async def reached() -> bool:
        return bool(told) and condition(told[-1])

    await eventually(reached, what=lambda: f"{what}: {told[-1:]}")


@pytest.mark.slow
async def test_builders_hold_still_while_the_projector_does_and_go_on_with_it(
    replica: Replica,
) -> None:
    projector, told = await filled(replica, 41), list[Progress]()
    projector.freeze()
    await asyncio.sleep(AGE_S)
    async with at(replica) as site, site.alone():
        building = asyncio.create_task(
            watched(replica, site, told).build(await begun(site), builders=2, memory_mb=2_000)
        )
        await until(told, lambda one: one.held, "it is held")
        before = len(told)
        await until(told, lambda _: len(told) > before + 6, "some seconds later")
        still = told[-1]
        assert still.phase == "building"
        assert (still.held, still.keys, still.lag_ms > 2_000) == (True, 0, True)
        assert still.events < still.events_total
        projector.thaw()
        built = await building
        assert built.proof.compared == PARTITIONS + 1
        assert not told[-1].held


@pytest.mark.slow
async def test_a_projector_that_stays_away_ends_it_and_says_why(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = await filled(replica, 42)
    monkeypatch.setattr(watching, "STILL_S", 4.0)
    projector.freeze()
    await asyncio.sleep(AGE_S)
    async with at(replica) as site, site.alone():
        with pytest.raises(RebuildRefusedError) as caught:
            await run_of(replica, site).build(await begun(site), builders=1, memory_mb=2_000)
        for named in ("gets no further since", "s old", "projector runs", "goes on where it was"):
            assert named in str(caught.value)
        projector.thaw()
        await replica.level()
        built = await run_of(replica, site).build(await begun(site), builders=1, memory_mb=2_000)
        assert built.generation == "2"
        assert await served(site) == {"1"}


@pytest.mark.slow
async def test_builders_hold_still_while_the_redis_answers_late(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(replica, 43)
    told, ping = list[Progress](), [80.0]

    async def pinged(_: object) -> float:
        return ping[0]

    monkeypatch.setattr(watching, "ping_ms", pinged)
    async with at(replica) as site, site.alone():
        building = asyncio.create_task(
            watched(replica, site, told).build(await begun(site), builders=1, memory_mb=2_000)
        )
        await until(told, lambda _: len(told) > 6, "some seconds later")
        assert (told[-1].phase, told[-1].held, told[-1].keys) == ("building", True, 0)
        ping[0] = 1.0
        await building
        assert not told[-1].held


@pytest.mark.slow
async def test_only_what_builds_is_held_up_and_the_flip_never(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(replica, 44)

    async def pinged(_: object) -> float:
        return 80.0

    monkeypatch.setattr(watching, "ping_ms", pinged)
    async with at(replica) as site:
        for phase, held in (("building", True), ("reading back", True), ("comparing", False)):
            told = list[Progress]()
            watch = Watch(site, told.append)
            watch.phase = phase
            running = asyncio.create_task(watch.run())
            await until(told, lambda _: True, "it has looked")
            assert told[0].held is held
            passing = asyncio.create_task(watch.gate.passed())
            _, left = await asyncio.wait([passing], timeout=0.3)
            assert bool(left) is held
            for task in (running, passing):
                task.cancel()
            await asyncio.wait([running, passing])


async def test_catching_up_and_reading_back_wait_for_the_gate(replica: Replica) -> None:
    await filled(replica, 45)
    gate = Gate()
    async with at(replica) as site:
        gate.close()
        following = site.following("2", gate.passed)
        following.start()
        try:
            await asyncio.sleep(1.5)
            assert not any(head.position for head in (await site.heads("2")).values())
            gate.open()

            async def folded() -> bool:
                return any(head.position for head in (await site.heads("2")).values())

            await eventually(folded, what="it is folded on")
        finally:
            await following.stop()
        gate.close()
        site.store.may_go_on = gate.passed
        names = site.store.scanned()
        first = asyncio.ensure_future(anext(names))
        _, left = await asyncio.wait([first], timeout=0.3)
        assert left
        gate.open()
        assert await first
        await names.aclose()


def test_a_rate_is_of_late_and_not_of_what_was_there_before() -> None:
    rate = Rate()
    rate.see(100.0, 5_000)
    assert rate.per_s == 0.0
    rate.see(101.0, 5_100)
    assert rate.per_s == 100.0
    for second in range(2, 30):
        rate.see(100.0 + second, 5_100)
    assert rate.per_s == 0.0


def test_what_was_done_before_is_whole() -> None:
    work = Work.done(4_000)
    assert (work.share, work.events, work.events_total) == (1.0, 4_000, 4_000)


def test_what_the_live_fold_does_counts_as_built() -> None:
    told = Foreseen(keys=300, folding_s=1, writing_s=1, reading_back_s=0, else_s=0)
    work = Work(200, told)
    work.folded_on(100)
    assert (work.events, work.written, work.share) == (100, 150, 0.5)
