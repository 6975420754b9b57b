"""The only broker: killed, frozen, and its disk full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.disk import SmallDisk
from tests.faults.harm import ALL, FROZEN, KILLED, harmed
from tests.faults.ledger import Ledger, running_ledger, system_in
from tests.faults.stage import show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def test_the_broker_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "broker-killed") as stage:
        await harmed(stage, [ledger.system.kafka], KILLED, ALL)


async def test_the_broker_is_frozen(ledger: Ledger) -> None:
    async with show(ledger, "broker-frozen") as stage:
        await harmed(stage, [ledger.system.kafka], FROZEN, ALL)


async def test_the_brokers_disk_is_full(table: None, tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "kafka", row="kafka-full") as disk:
        system = system_in(tmp_path)
        async with running_ledger(system, seed=2) as ledger, show(ledger, "kafka-full") as stage:
            stage.begins()
            disk.fill()
            # A broker that can't write its log ends by itself.
            await stage.enough(0.5)
            stage.note = "the broker ended" if not system.kafka.running else ""
            await stage.enough()
            stage.lifted()
            disk.make_room()
            await asyncio.to_thread(system.mend)
            await stage.recovered()
