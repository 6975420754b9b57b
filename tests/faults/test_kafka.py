"""The only broker: killed, frozen, and its disk full."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from cli.filling import ballast
from cli.main import app
from tests.faults.disk import SmallDisk
from tests.faults.harm import ALL, FROZEN, KILLED, harmed
from tests.faults.ledger import Ledger, running_ledger, system_in
from tests.faults.results import skip
from tests.faults.stage import show
from tests.servers import KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
BACK_S: Final = 30.0
"""Promised from the moment on in which there is room again."""
_AGAIN_S: Final = 5.0


async def test_the_broker_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "broker-killed") as stage:
        await harmed(stage, [ledger.system.kafka], KILLED, ALL)


async def test_the_broker_is_frozen(ledger: Ledger) -> None:
    async with show(ledger, "broker-frozen") as stage:
        await harmed(stage, [ledger.system.kafka], FROZEN, ALL)


@asynccontextmanager
async def started_again(broker: KafkaServer) -> AsyncIterator[None]:
    """Start a broker that has ended again every 5 s, room or not, as `ledger up` does."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            if not broker.running:
                await asyncio.to_thread(broker.kill)
                # The tests' servers write their config anew at each start: not on a full disk.
                with suppress(OSError):
                    await asyncio.to_thread(broker.start, wait=False)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])


async def test_the_brokers_disk_is_full(
    table: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "kafka"
    with SmallDisk(folder, skip=partial(skip, "kafka-full")) as disk:
        ballast.make(folder, 32 << 20)
        system = system_in(tmp_path)
        async with (
            running_ledger(system, seed=2) as ledger,
            show(ledger, "kafka-full") as stage,
            started_again(system.kafka),
        ):
            stage.begins()
            disk.fill()
            # A broker that can't write its log ends by itself.
            await stage.enough(0.5)
            stage.note = "the broker ended" if not system.kafka.running else ""
            await stage.enough()
            stage.lifted()
            released = await asyncio.to_thread(
                CliRunner().invoke, app, ["ballast", "release", str(folder)]
            )
            assert released.exit_code == 0, released.output
            await stage.recovered()
        with capsys.disabled():
            sys.stdout.write(f"\nback {stage.recovery_s:.1f} s after the ballast's release\n")
        assert stage.recovery_s is not None
        assert stage.recovery_s < BACK_S
