"""kill -9 of everything at once, under load: nothing acknowledged is missing."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.system import System
from tests.vendor import Vendor, machine_body

LICENSES = 8
CALLERS = 16
KILLS = 10
UNDER_WAY_S = 60.0
"""Until as many activations as callers are acknowledged; the plug is pulled no earlier."""


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_nothing_acknowledged_is_missing_after_ten_kills(system: System) -> None:
    rng = random.Random(KILLS)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(system.client(n)) for n in (0, 1)]
        vendor = Vendor(clients, system.ledger)
        issued = [await vendor.issue() for _ in range(LICENSES)]
        acknowledged: dict[tuple[str, str], str] = {}
        for round_ in range(KILLS):
            before = len(acknowledged)
            load = asyncio.create_task(_load(vendor, issued, acknowledged, round_))
            await asyncio.sleep(rng.uniform(0.5, 2.0))
            async with asyncio.timeout(UNDER_WAY_S):
                while len(acknowledged) < before + CALLERS:
                    await asyncio.sleep(0.01)
            await asyncio.to_thread(system.kill_everything)
            await load
            await asyncio.to_thread(system.restart_everything)
        await _all_there(vendor, system, issued, acknowledged)


async def _load(
    vendor: Vendor,
    issued: list[dict[str, object]],
    acknowledged: dict[tuple[str, str], str],
    round_: int,
) -> None:
    """Activate at both workers until the connections break; note what was acknowledged."""

    async def caller(number: int) -> None:
        client = vendor.clients[number % len(vendor.clients)]
        for count in range(10_000):
            license_ = str(issued[count % len(issued)]["id"])
            fingerprint = f"{round_}-{number}-{count}"
            try:
                answer = await client.post("/v1/machines", json=machine_body(license_, fingerprint))
            except httpx.HTTPError:
                return
            if answer.status_code == httpx.codes.CREATED:
                acknowledged[license_, fingerprint] = answer.json()["data"]["id"]

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))


async def _all_there(
    vendor: Vendor,
    system: System,
    issued: list[dict[str, object]],
    acknowledged: dict[tuple[str, str], str],
) -> None:
    await asyncio.to_thread(system.wait_level)
    keys = {str(one["id"]): one["attributes"]["key"] for one in issued}  # type: ignore[index]
    missing = []
    for license_, fingerprint in acknowledged:
        meta = (await vendor.check(keys[license_], fingerprint=fingerprint))["meta"]
        if meta["code"] != "VALID":
            missing.append((license_, fingerprint, meta["code"]))
    assert missing == []
