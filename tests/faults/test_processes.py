"""Our own processes: workers and projectors killed, stopped and behind."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.ledger import Ledger
from tests.faults.stage import show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def test_nothing_breaks(ledger: Ledger) -> None:
    async with show(ledger, "none") as stage:
        stage.begins()
        await stage.enough()
        stage.lifted()
        await stage.recovered()


async def test_a_worker_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "worker-killed") as stage:
        stage.begins()
        for turn in range(5):
            worker = ledger.system.workers[turn % 2]
            stage.broken()
            await asyncio.to_thread(worker.kill)
            await stage.enough((turn + 0.5) / 5)
            stage.broken()
            await asyncio.to_thread(worker.start)
            await stage.enough((turn + 1) / 5)
        stage.lifted()
        await stage.recovered()


async def test_a_projector_is_killed(ledger: Ledger) -> None:
    projector = ledger.system.projectors[0]
    async with show(ledger, "projector-killed") as stage:
        stage.begins()
        await asyncio.to_thread(projector.kill)
        await stage.enough()
        stage.lifted()
        await asyncio.to_thread(projector.start)
        await stage.recovered()
