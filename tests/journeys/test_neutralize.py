"""Kafka and both Redis killed: what can't be checked is approved by order, and by nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.signing_keys import private_pem
from tests.emergency import KEY, NAME, SETTING
from tests.local import LEDGER
from tests.servers import wait_until
from tests.system import System, running
from tests.vendor import Vendor

LICENSES = 60
SUSPENDED = 5
UNKNOWN = 40


@pytest.fixture(params=[True, False], ids=["with a copy", "without any copy"])
def copy(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def system(tmp_path: Path, *, copy: bool) -> Iterator[System]:
    more = {
        "LEDGER_EMERGENCY_KEYS": SETTING,
        "LEDGER_EMERGENCY_ORDERS": str(tmp_path / "orders"),
    }
    (tmp_path / "orders").mkdir()
    with running(tmp_path, local_copy=copy, settings=more) as started:
        yield started


class Operator:
    """Who has the key; gives orders by the folder alone, and looks at every worker."""

    def __init__(self, system: System, folder: Path) -> None:
        self._system = system
        self._key = folder / "key.pem"
        self._key.write_text(private_pem(KEY))
        self._key.chmod(0o600)
        self._orders = str(folder / "orders")

    async def neutralize(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
        urls = ",".join(worker.url for worker in self._system.workers)
        return await asyncio.to_thread(
            subprocess.run,
            [LEDGER, "neutralize", *arguments],
            env={**kept, **self._system.env, "LEDGER_EMERGENCY_WORKERS": urls},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def order(self, *more: str) -> str:
        """Have an order run at every worker, 10 s after it was given at the latest."""
        system = self._system
        whose = ["--ledger", system.ledger, "--account", system.account, "--reason", "all is dead"]
        signed = ["--key", str(self._key), "--for", "1h", "--orders", self._orders]
        given = await self.neutralize("start", *signed, *whose, *more, "--json")
        assert given.returncode == 0, given.stderr
        order: str = json.loads(given.stdout)["order"]
        taken = await self.neutralize("status", order, "--json")
        assert taken.returncode == 0, taken.stdout
        return order

    async def end(self, order: str) -> None:
        signed = ["--key", str(self._key), "--orders", self._orders]
        given = await self.neutralize("end", order, *signed, "--ledger", self._system.ledger)
        assert given.returncode == 0, given.stderr

        def over() -> bool:
            told = [worker.get("/v1/emergency")["meta"] for worker in self._system.workers]
            shown = [one for each in told for one in each["orders"] if one["id"] == order]
            return len(shown) == len(told) and not any(one["running"] for one in shown)

        await asyncio.to_thread(wait_until, over, what="the end at every worker", timeout_s=10)


async def said(system: System, worker: int, keys: list[str]) -> dict[str, int]:
    """How often a worker answers what to checks of these keys."""
    counts: dict[str, int] = {}
    url = f"/v1/accounts/{system.account}/licenses/actions/validate-key"
    async with httpx.AsyncClient(base_url=system.workers[worker].url, timeout=10) as client:
        for key in keys:
            answer = await client.post(url, json={"meta": {"key": key}})
            document = answer.json()
            word = str(answer.status_code)
            if answer.status_code == httpx.codes.OK:
                word = f"{document['meta']['code']} {document['meta']['source']}"
            counts[word] = counts.get(word, 0) + 1
    return counts


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_an_order_by_the_folder_approves_what_cannot_be_checked_until_it_ends(
    system: System, tmp_path: Path, *, copy: bool
) -> None:
    operator = Operator(system, tmp_path)
    known, suspended = await _filled(system, copy=copy)
    unknown = [f"never-heard-of-{number}" for number in range(UNKNOWN)]
    for server in (system.kafka, *system.replicas):
        await asyncio.to_thread(server.kill)

    workers = range(len(system.workers))
    answered = {"VALID LOCAL_COPY": len(known)} if copy else {"503": len(known)}
    for worker in workers:
        assert await said(system, worker, known) == answered
        assert await said(system, worker, unknown) == {"503": UNKNOWN}

    cautious = await operator.order()
    for worker in workers:
        assert await said(system, worker, known) == answered
        assert await said(system, worker, unknown) == {"503": UNKNOWN}
    await operator.end(cautious)

    order = await operator.order("--unknown-keys")
    if copy:
        # A worker that starts cold takes it from the folder, for what is left of it.
        await asyncio.to_thread(system.workers[1].kill)
        await asyncio.to_thread(system.workers[1].start)
        assert (await operator.neutralize("status", order)).returncode == 0
    for worker in workers:
        assert await said(system, worker, unknown) == {"VALID EMERGENCY_GRACE": UNKNOWN}
        if copy:
            assert await said(system, worker, known) == answered
            denied = {"SUSPENDED LOCAL_COPY": len(suspended)}
            assert await said(system, worker, suspended) == denied
        else:
            approved = {"VALID EMERGENCY_GRACE": len(known)}
            assert await said(system, worker, known) == approved
    await operator.end(order)
    for worker in workers:
        assert await said(system, worker, unknown) == {"503": UNKNOWN}

    await asyncio.to_thread(system.mend)
    # A "no" is said once a replica is level again: until then it is no answer, not a yes.
    for _ in range(100):
        answer = await said(system, 0, unknown[:1])
        if answer != {"503": 1}:
            break
        await asyncio.sleep(0.1)
    assert answer in ({"NOT_FOUND REPLICA_A": 1}, {"NOT_FOUND REPLICA_B": 1})
    told = await _told(operator, order, count=len(workers))
    assert (told["key"], told["order"]["order"]["unknown_keys"]) == (NAME, True)
    assert told["end"]["order"]["ends"] == order
    counts = [(one["way"], one["why"], one["known"], one["unknown"]) for one in told["workers"]]
    each = UNKNOWN if copy else UNKNOWN + len(known)
    assert counts == [("FILE", "ENDED", 0, each)] * len(workers)


async def _filled(system: System, *, copy: bool) -> tuple[list[str], list[str]]:
    """Issue licenses and suspend some; keys of the good ones and of those."""
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        issued = await asyncio.gather(*(vendor.issue() for _ in range(LICENSES)))
        for one in issued[:SUSPENDED]:
            path = f"/v1/licenses/{one['id']}/actions/suspend"
            assert (await client.post(path)).status_code == httpx.codes.OK

    def level() -> bool:
        found = system.workers[0].get("/health/ready")["localCopy"]
        return found["ageMs"] is not None and found["ageMs"] < 1_000

    if copy:
        await asyncio.to_thread(wait_until, level, what="the copy level", timeout_s=60)
        await asyncio.sleep(0.5)  # and past the last suspension: it is level every 250 ms
    keys = [one["attributes"]["key"] for one in issued]
    return keys[SUSPENDED:], keys[:SUSPENDED]


async def _told(operator: Operator, order: str, *, count: int) -> dict[str, Any]:
    """What the ledger says of an order, once as many workers have entered its end."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        while not found or [one["over"] is None for one in found[0]["workers"]] != [False] * count:
            done = await operator.neutralize("history", order, "--json")
            found = json.loads(done.stdout)["orders"] if done.returncode == 0 else []
            await asyncio.sleep(0.2)
    return found[0]
