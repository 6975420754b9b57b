"""Killed at ten points while checks and activations go on: not one of these is answered wrong."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from bench.history import Size, write
from bench.under_load import UnderLoad
from projector.rebuild.exchange import finish
from projector.rebuild.site import Site
from tests.projector.rebuild.test_kills import KILLS, LIMIT_S, by_chance, ended, rebuilding
from tests.system import System
from tests.vendor import Vendor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS, LICENSES = 20_000, 600


async def _killed(system: System, log: Path, delay_s: float) -> int:
    """Rebuild replica A, and kill that after a while; its exit code."""
    with rebuilding(system.env, log) as process:
        try:
            return await asyncio.wait_for(ended(process), delay_s)
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            return await ended(process)


async def _finished(site: Site) -> None:
    """End the window of a rebuild that came to its end, so that the next one can begin."""
    intent = await site.store.intent()
    if intent is not None and intent.phase == "window":
        async with site.alone():
            await finish(site, intent)


async def test_no_check_is_wrong_while_a_rebuild_is_killed_at_ten_points(tmp_path: Path) -> None:
    system, random, log = System(tmp_path / "system", workers=1), by_chance(), tmp_path / "log"
    size = Size(
        shape="mixed", licenses=LICENSES, events=EVENTS, until_ms=time.time_ns() // 1_000_000
    )
    try:
        for server in (*system.brokers, *system.replicas):
            await asyncio.to_thread(server.start)
        history = await write(system.env, size, processes=1)
        system.ledger = history.whose.ledger
        await asyncio.to_thread(system.start_programs)
        await asyncio.to_thread(system.wait_level)
        async with system.client() as client:
            vendor = Vendor([client], system.ledger)
            on = [str((await vendor.issue(name="load"))["id"]) for _ in range(3)]
        load = UnderLoad(system.workers[0].port, history, on, checks=40, activations=2)
        load.start()
        site = Site(system.settings, 0)
        try:
            kills = 0
            while kills < KILLS:
                code = await _killed(system, log, random.uniform(1.0, 9.0))
                assert code in {0, -signal.SIGKILL}, log.read_text()[-3_000:]
                kills += code != 0
                await _finished(site)
            assert await _killed(system, log, LIMIT_S) == 0, log.read_text()[-3_000:]
        finally:
            await site.close()
            judged = await load.stop()
        assert judged.checks > 500
        assert judged.activations > 20
        assert (judged.failed, judged.wrong) == (0, []), judged.codes
        assert "Traceback" not in log.read_text()
    finally:
        await asyncio.to_thread(system.stop)
