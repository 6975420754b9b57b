"""Our own processes: workers and projectors killed, stopped, behind, and restarted in turn."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.harm import ALL, FROZEN, KILLED, harmed, shared
from tests.faults.ledger import Ledger
from tests.faults.stage import show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 5


async def test_nothing_breaks(ledger: Ledger) -> None:
    async with show(ledger, "none") as stage:
        stage.begins()
        await stage.enough()
        stage.lifted()
        await stage.recovered()


async def test_a_worker_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "worker-killed") as stage:
        stage.begins()
        for turn in range(KILLS):
            worker = ledger.system.workers[turn % 2]
            stage.broken()
            await asyncio.to_thread(worker.kill)
            await stage.enough((turn + 0.5) / KILLS)
            stage.broken()
            await asyncio.to_thread(worker.start)
            await stage.enough((turn + 1) / KILLS)
        stage.lifted()
        await stage.recovered()


async def test_a_projector_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "projector-killed") as stage:
        await harmed(stage, ledger.system.projectors[:1], KILLED, ["REPLICA_A"])


async def test_a_projector_is_stopped(ledger: Ledger) -> None:
    async with show(ledger, "projector-stopped") as stage:
        await harmed(stage, ledger.system.projectors[:1], FROZEN, ["REPLICA_A"])


async def test_all_projectors_are_behind(ledger: Ledger) -> None:
    async with show(ledger, "projectors-behind") as stage:
        await harmed(stage, ledger.system.projectors, FROZEN, ALL)


async def test_partitions_move_to_another_projector_and_back(ledger: Ledger) -> None:
    second = ledger.system.projector("A", slot=1)
    try:
        async with show(ledger, "partitions-move") as stage:
            stage.begins()
            await shared(stage, second, 2)
            stage.lifted()
            await stage.recovered()
    finally:
        second.kill()


async def test_everything_is_restarted_in_turn(ledger: Ledger) -> None:
    servers = ledger.system.servers
    async with show(ledger, "rolling-restart") as stage:
        stage.begins()
        for number, server in enumerate(servers):
            stage.broken()
            await asyncio.to_thread(server.restart)
            await stage.until_healthy()
            stage.broken()
            await stage.enough((number + 1) / len(servers))
        stage.lifted()
        await stage.recovered()
