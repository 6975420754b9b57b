"""The generation that serves changes under checks: no answer is made of two."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults import generations
from tests.faults.ledger import UNLIMITED, Ledger, running_ledger
from tests.faults.stage import Stage, show, watch
from tests.faults.test_planted import CHECKS, FILLED, with_bug
from tests.faults.truth import Judged
from tests.system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
REPLICAS = ("REPLICA_A", "REPLICA_B")


async def test_no_answer_mixes_generations(table: None, tmp_path: Path) -> None:
    system = System(tmp_path, terms=UNLIMITED)
    async with (
        running_ledger(system, seed=8) as ledger,
        show(ledger, "generations", comes_back=False) as stage,
    ):
        await _turned(ledger, stage, turn_s=1.0)
        assert stage.counts().figures.stale > 0


async def test_planted_mixed_generations_are_found(tmp_path: Path) -> None:
    system = with_bug(tmp_path, "mixed_generations")
    async with running_ledger(system, seed=9, filled=FILLED) as ledger:
        async with watch(ledger, checks=CHECKS) as stage:
            await _turned(ledger, stage, turn_s=0.1)
        found = {judged for judged, _ in stage.judged()}
    assert found & {Judged.WRONG_APPROVAL, Judged.WRONG_DENIAL}


async def _turned(ledger: Ledger, stage: Stage, *, turn_s: float) -> None:
    """Stop all that writes, then let the generations serve in turn under checks."""
    await stage.stop()
    await stage.vendor.finish()
    system = ledger.system
    await asyncio.to_thread(system.wait_level)
    for projector in system.projectors:
        await asyncio.to_thread(projector.kill)
    still = time.monotonic()
    await asyncio.to_thread(generations.make, system, ledger.world)
    turning = asyncio.create_task(generations.turn_to_and_fro(system, turn_s))
    stage.ask()
    stage.begins()
    await stage.enough()
    stage.lifted()
    stage.stands_still(still, stage.ended, REPLICAS)
    turning.cancel()
    await asyncio.wait([turning])
