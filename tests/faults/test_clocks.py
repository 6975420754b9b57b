"""One clock wrong by ten minutes, both ways, and by 400 days: whose it is makes a row."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.clocks import DAY_S, WrongClock
from tests.faults.ledger import running_ledger, system_in
from tests.faults.stage import show
from tests.servers import Server, wait_until
from tests.system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
OFF_S = (600, -600, 400 * DAY_S)


def of_an_api_host(system: System) -> tuple[list[Server], list[Server]]:
    """All that runs there: workers, and the projector of their copy."""
    return [*system.workers, system.projectors[2]], list(system.workers)


def of_a_replica(system: System) -> tuple[list[Server], list[Server]]:
    return [system.replicas[0]], list(system.workers)


def of_the_broker(system: System) -> tuple[list[Server], list[Server]]:
    return [system.kafka], list(system.projectors)


@pytest.mark.parametrize(
    ("row", "whose"),
    [
        ("clock-host", of_an_api_host),
        ("clock-replica", of_a_replica),
        ("clock-broker", of_the_broker),
    ],
)
async def test_a_clock_is_wrong(table: None, tmp_path: Path, row: str, whose: object) -> None:
    assert callable(whose)
    clock = WrongClock(tmp_path, row=row)
    system = system_in(tmp_path)
    wrong, alarmed = whose(system)
    for server in wrong:
        server.env.update(clock.env)
    async with running_ledger(system, seed=3) as ledger, show(ledger, row) as stage:
        stage.begins()
        for turn, off_s in enumerate(OFF_S):
            stage.broken()
            clock.set(off_s)
            await stage.enough((turn + 1) / len(OFF_S))
        for server in alarmed:
            await asyncio.to_thread(_alarmed, server)
        stage.lifted()
        clock.set(0)
        await stage.recovered()


def _alarmed(server: Server) -> None:
    def told() -> bool:
        return '"alarm":"clocks-apart"' in server.log_path.read_text(encoding="utf-8")

    wait_until(told, what=f"the alarm in {server.log_path.name}")
