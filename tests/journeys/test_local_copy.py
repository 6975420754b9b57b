"""Everything dead but the API's host, and that started cold: every license is still answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import wait_until
from tests.system import System, running
from tests.vendor import Vendor, machine_body

LICENSES = 200
START_LIMIT_S = 50.0
"""Ten times what is promised: how fast is the bench's business."""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, local_copy=True) as started:
        yield started


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_workers_that_start_with_all_dead_answer_for_every_license_ever_issued(
    system: System,
) -> None:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        issued = await asyncio.gather(*(vendor.issue() for _ in range(LICENSES)))
        for one in issued[:20]:
            assert (await vendor.activate(one["id"], "f")).status_code == 201

        def level() -> bool:
            found = system.workers[0].get("/health/ready")["localCopy"]
            return found["ageMs"] is not None and found["ageMs"] < 1_000

        await asyncio.to_thread(wait_until, level, what="the copy level", timeout_s=60)
        await asyncio.sleep(0.5)  # and past the last activation: it is level every 250 ms
    await asyncio.to_thread(system.kill_everything)
    started = time.monotonic()
    for worker in system.workers:
        worker.start(wait=False)
    for worker in system.workers:
        await asyncio.to_thread(worker.wait_ready)
    assert time.monotonic() - started < START_LIMIT_S

    for number in range(len(system.workers)):
        async with system.client(number) as client:
            vendor = Vendor([client], system.ledger)
            for place, one in enumerate(issued):
                scope = {"fingerprint": "f"} if place < 20 else {}
                meta = (await vendor.check(one["attributes"]["key"], **scope))["meta"]
                assert (meta["code"], meta["source"]) == ("VALID", "LOCAL_COPY")
                assert meta["ageMs"] > 0
            answer = await client.post(
                "/v1/licenses/actions/validate-key", json={"meta": {"key": "nobody's"}}
            )
            assert answer.status_code == 503
            answer = await client.post("/v1/machines", json=machine_body(issued[0]["id"], "g"))
            assert answer.status_code == 503
