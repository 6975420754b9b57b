"""The window of a rebuild beside a real projector: killed between two places, closed, gone back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projector.read_model.port import ReadModelUnavailableError
from projector.rebuild import exchange
from projector.rebuild.exchange import finish, flip, undo
from projector.rebuild.intent import Intent
from projector.rebuild.run import begun
from projector.rebuild.site import Site
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import WINDOW_S, at, generations, rebuilt, run_of, served
from tests.projector.replica import PARTITIONS, Replica, eventually
from tests.servers import ROOT

FLIPPED = 2
KILL = f"""
import os, signal
from projector.rebuild.store import Store

real, done = Store.flip, []

async def flip(self, place, old, new):
    found = await real(self, place, old, new)
    if found == "serves":
        done.append(place)
    if len(done) == {FLIPPED}:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

Store.flip = flip
"""


async def _filled(replica: Replica, seed: int) -> Activity:
    activity = Activity(seed, partitions=PARTITIONS, licenses=30)
    await replica.append(list(activity.appendables(600)))
    await replica.start()
    await replica.level()
    return activity


async def _intent(site: Site) -> Intent:
    intent = await site.store.intent()
    assert intent is not None
    return intent


async def _killed(replica: Replica, plants: Path, command: str) -> None:
    """Run `ledger rebuild …` until it is killed, when two places are flipped."""
    (plants / "sitecustomize.py").write_text(KILL)
    env = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    env |= {**replica.environment, "PYTHONPATH": os.pathsep.join([str(plants), str(ROOT)])}
    line = [sys.executable, "-c", "from cli.main import main; main()", "rebuild", command]
    done = await asyncio.to_thread(subprocess.run, line, env=env, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]


async def _proved(replica: Replica, site: Site) -> None:
    async with site.alone():
        await run_of(replica, site).build(await begun(site), builders=1, memory_mb=2_000)


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True], ids=["flip", "undo"])
async def test_a_flip_that_was_killed_between_two_places(
    replica: Replica,
    tmp_path: Path,
    back: bool,  # noqa: FBT001 - a case
) -> None:
    activity = await _filled(replica, 41)
    async with at(replica) as site:
        await _proved(replica, site)
        await _killed(replica, tmp_path, "flip")
        assert (await _intent(site)).phase == "flipping"
        by_place = await site.store.serving(site.places)
        assert sorted(by_place.values()) == ["1"] * (PARTITIONS + 1 - FLIPPED) + ["2"] * FLIPPED
        # Of each place the other generation is folded on as well, whichever it is.
        await replica.append(list(activity.appendables(200)))
        async with site.alone():
            if back:
                await undo(site, await _intent(site), window_s=WINDOW_S)
            else:
                await run_of(replica, site).flip(await begun(site), window_s=WINDOW_S)
        replica.generation = "1" if back else "2"
        assert await served(site) == {replica.generation}
        assert (await _intent(site)).phase == "window"
        await replica.assert_equals_an_independent_fold()
        async with site.alone():
            await finish(site, await _intent(site))
        assert generations(replica) == {replica.generation}


@pytest.mark.slow
async def test_an_undo_that_was_killed_between_two_places_goes_on(
    replica: Replica, tmp_path: Path
) -> None:
    activity = await _filled(replica, 42)
    async with at(replica) as site:
        await rebuilt(replica, site)
        await _killed(replica, tmp_path, "undo")
        assert (await _intent(site)).phase == "undoing"
        assert await served(site) == {"1", "2"}
        await replica.append(list(activity.appendables(200)))
        async with site.alone():
            await undo(site, await _intent(site), window_s=WINDOW_S)
        assert await served(site) == {"1"}
    await replica.assert_equals_an_independent_fold()


@pytest.mark.slow
async def test_an_undo_leads_to_the_present(replica: Replica) -> None:
    """What came after the flip is in what serves after the way back, and in the other one."""
    activity = await _filled(replica, 43)
    async with at(replica) as site:
        await rebuilt(replica, site)
        ends = await replica.ends()
        await replica.append(list(activity.appendables(500)))
        replica.generation = "2"
        await replica.level()
        async with site.alone():
            await undo(site, await _intent(site), window_s=WINDOW_S)
        assert await served(site) == {"1"}
        replica.generation = "1"
        heads = [head.position for head in await replica.heads()]
        assert all(head > end for head, end in zip(heads, ends, strict=True))
        await replica.assert_equals_an_independent_fold()
        # And on from there, to the other one again.
        await replica.append(list(activity.appendables(300)))
        await replica.assert_equals_an_independent_fold()
        async with site.alone():
            await flip(site, await _intent(site), window_s=WINDOW_S)
        replica.generation = "2"
        await replica.assert_equals_an_independent_fold()


@pytest.mark.slow
@pytest.mark.parametrize("given_up", [False, True], ids=["a window", "a rebuild"])
async def test_a_projector_goes_on_with_a_deletion_that_was_cut_off(
    replica: Replica,
    monkeypatch: pytest.MonkeyPatch,
    given_up: bool,  # noqa: FBT001 - a case
) -> None:
    await _filled(replica, 44)
    calls = 0

    async def cut_off(*_: object) -> int:
        nonlocal calls
        calls += 1
        raise ReadModelUnavailableError("timed out")

    async with at(replica) as site:
        if given_up:
            await _proved(replica, site)
        else:
            await rebuilt(replica, site)
        async with site.alone():
            intent = await _intent(site)
            with monkeypatch.context() as planted:
                planted.setattr(exchange, "collect", cut_off)
                with pytest.raises(ReadModelUnavailableError):
                    await finish(site, intent)
        assert calls == 1

        async def over() -> bool:
            return await site.store.intent() is None

        await eventually(over, what="the projector has deleted it")
        closed = await site.store.closed()
        assert closed is not None
        assert closed.flipped != given_up
        replica.generation = "1" if given_up else "2"
        assert closed.dropped == ("2" if given_up else "1")
        assert generations(replica) == {replica.generation}
    await replica.assert_equals_an_independent_fold()
