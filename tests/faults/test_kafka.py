"""The only broker: killed, frozen, and its disk full."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.faults.disk import SmallDisk
from tests.faults.ledger import Ledger, running_ledger, system_in
from tests.faults.stage import show

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ALL = ("REPLICA_A", "REPLICA_B", "LOCAL_COPY")


async def test_the_broker_is_killed(ledger: Ledger) -> None:
    kafka = ledger.system.kafka
    async with show(ledger, "broker-killed") as stage:
        stage.begins()
        await asyncio.to_thread(kafka.kill)
        dead = time.monotonic()
        await stage.enough()
        stage.lifted()
        stage.stands_still(dead, stage.ended, ALL)
        await asyncio.to_thread(kafka.start)
        await stage.recovered()


async def test_the_broker_is_frozen(ledger: Ledger) -> None:
    kafka = ledger.system.kafka
    async with show(ledger, "broker-frozen") as stage:
        stage.begins()
        await asyncio.to_thread(kafka.freeze)
        still = time.monotonic()
        await stage.enough()
        stage.lifted()
        stage.stands_still(still, stage.ended, ALL)
        kafka.thaw()
        await stage.recovered()


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
