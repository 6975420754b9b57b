"""That the suite can fail: each planted bug is found, in a short run of the fault that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.clocks import DAY_S, WrongClock
from tests.faults.final import differences
from tests.faults.harm import shared
from tests.faults.ledger import running_ledger, system_in
from tests.faults.planted import BUGS
from tests.faults.stage import RATE, Stage, watch
from tests.faults.truth import WRONG, Judged
from tests.system import Program, System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CHECKS = int(10 * RATE)
MOVES = 6
MOVING = 4 * CHECKS
FILLED = 300
FEW = 30
"""So few that each is written again and again, by whoever has its partition."""
Breaking = Callable[[Stage], Awaitable[None]]


class Planted(Program):
    """One of our own processes with a bug in it."""

    def __init__(self, program: Program, bug: str) -> None:
        super().__init__(program.directory, program.module, port=program.port, env=program.env)
        self._bug = bug

    def _prepare(self) -> list[str]:
        python, *_ = super()._prepare()
        return [python, "-m", "tests.faults.planted", self._bug, self.module]


def with_bug(directory: Path, bug: str) -> System:
    """A system whose workers, or whose projectors where it is one of theirs, have a bug."""
    system = system_in(directory)
    if bug == "stale_projector_cache":
        system.projectors[0] = Planted(system.projectors[0], bug)
    else:
        system.workers = [Planted(worker, bug) for worker in system.workers]
    return system


async def emptied(stage: Stage) -> None:
    first, projector = stage.system.replicas[0], stage.system.projectors[0]
    await asyncio.to_thread(first.kill)
    first.wipe()
    await asyncio.to_thread(projector.freeze)
    await asyncio.to_thread(first.start)
    await stage.enough()


async def lagging(stage: Stage) -> None:
    await asyncio.to_thread(stage.system.projectors[0].freeze)
    await stage.enough()


async def revoking(stage: Stage) -> None:
    for _ in range(20):
        stage.vendor.begin("revoke")
    await stage.enough()


async def stopped(stage: Stage) -> None:
    await asyncio.to_thread(stage.system.replicas[0].freeze)
    await stage.enough()


async def moved(stage: Stage) -> None:
    """A second projector of A takes half of the partitions, six times, and gives them back.

    The bug shows only at a license that both of them write.
    """
    first = stage.system.projectors[0]
    second = stage.system.projector("A", slot=1)
    await shared(stage, second, MOVES)
    assert first.running


FAULTS: dict[str, Breaking] = {
    "not_found_from_an_empty_replica": emptied,
    "approval_after_revocation": revoking,
    "endless_retry": stopped,
    "denial_from_the_lagging_replica": lagging,
    "stale_projector_cache": moved,
}


@pytest.mark.parametrize("bug", FAULTS)
async def test_a_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    system = with_bug(tmp_path, bug)
    moves = FAULTS[bug] is moved
    async with running_ledger(system, seed=6, filled=FEW if moves else FILLED) as ledger:
        checks = MOVING if moves else CHECKS
        async with watch(ledger, checks=checks) as stage:
            stage.begins()
            await FAULTS[bug](stage)
            stage.lifted()
        found = {judged for judged, _ in stage.judged()}
        if bug == "endless_retry":
            assert Judged.UNANSWERED in found
        elif bug == "approval_after_revocation":
            assert Judged.WRONG_APPROVAL in found
        elif bug == "stale_projector_cache":
            different = await asyncio.to_thread(differences, system)
            assert different or found & WRONG
        else:
            assert Judged.WRONG_DENIAL in found


@pytest.mark.parametrize(
    ("bug", "off_s", "expected"),
    [
        ("age_by_the_wrong_clock", 600, Judged.WRONG_AGE),
        ("expiry_by_one_wrong_clock", 400 * DAY_S, Judged.WRONG_DENIAL),
    ],
)
async def test_a_planted_wrong_clock_is_found(
    tmp_path: Path, bug: str, off_s: int, expected: Judged
) -> None:
    clock = WrongClock(tmp_path, row="clock-host")
    system = with_bug(tmp_path, bug)
    for worker in system.workers:
        worker.env.update(clock.env)
    async with running_ledger(system, seed=7, filled=FILLED) as ledger:
        async with watch(ledger, checks=CHECKS) as stage:
            stage.begins()
            clock.set(off_s)
            await stage.enough()
            stage.lifted()
        assert expected in {judged for judged, _ in stage.judged()}


def test_every_planted_bug_has_its_fault() -> None:
    others = {"age_by_the_wrong_clock", "expiry_by_one_wrong_clock", "mixed_generations"}
    assert FAULTS.keys() | others == BUGS.keys()
