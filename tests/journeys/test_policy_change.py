"""A policy changes while licenses are issued and workers are killed: none is left behind."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from ledger.domain.terms import Terms
from projector.read_model.keys import Keys
from projector.views.documents import read_license
from tests.filling import fill, issues, whose
from tests.system import System
from tests.vendor import license_body, resource_body, settled

LIMIT_S = 300.0


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_policy_s_change_reaches_ten_thousand(system: System) -> None:
    count, meanwhile = 10_000, 200
    total = count + meanwhile
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(system.client(n, timeout_s=30)) for n in range(3)
        ]
        policy = await _a_policy(system, clients)
        await fill(system, issues(whose(system, policy), count, terms=Terms(max_machines=1)))
        await asyncio.to_thread(system.wait_level)

        # One worker is killed while the change is under way and new licenses are issued.
        issuing = asyncio.create_task(_issue(clients, policy, meanwhile))
        first = await _changed(clients[1:], policy, maxMachines=2)
        await _until_some_have(system, policy, first, count)
        await asyncio.to_thread(system.workers[0].kill)
        await issuing
        await _until_none_is_behind(clients[1], policy)
        await _all_have(system, policy, first, seats=2, count=total)

        # All workers are killed in the middle of the next change; started again, they go on.
        second = await _changed(clients[1:], policy, maxMachines=3)
        await _until_some_have(system, policy, second, total)
        for worker in system.workers:
            worker.signal_kill()
        for worker in system.workers:
            await asyncio.to_thread(worker.kill)
        await asyncio.to_thread(system.wait_level)
        assert 0 < _with_version(system, policy, second) < total
        for worker in system.workers:
            worker.start(wait=False)
        for worker in system.workers:
            await asyncio.to_thread(worker.wait_ready)
        await _until_none_is_behind(clients[0], policy)
        await _all_have(system, policy, second, seats=3, count=total)


async def _a_policy(system: System, clients: list[httpx.AsyncClient]) -> str:
    body = resource_body(
        "policies", {"name": "changing", "maxMachines": 1}, product=("products", system.product)
    )
    made = await settled(clients, "/v1/policies", body)
    assert made.status_code == 201, made.text
    id_: str = made.json()["data"]["id"]
    return id_


async def _issue(clients: list[httpx.AsyncClient], policy: str, count: int) -> None:
    """Issue licenses a few at a time, at whichever worker answers."""

    async def some(first: int) -> None:
        turned = clients[first % len(clients) :] + clients[: first % len(clients)]
        for _ in range(first, count, 4):
            issued = await settled(turned, "/v1/licenses", license_body(policy))
            assert issued.status_code == 201, issued.text

    await asyncio.gather(*(some(first) for first in range(4)))


async def _changed(clients: list[httpx.AsyncClient], policy: str, **attributes: object) -> int:
    """Change the policy; its version from now on."""
    body, headers = resource_body("policies", attributes), {"Idempotency-Key": uuid4().hex}
    answer = await clients[0].patch(f"/v1/policies/{policy}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["data"]["attributes"]["version"]
    return version


def _with_version(system: System, policy: str, version: int) -> int:
    """How many licenses of the policy have this version in replica A."""
    with Redis(port=system.replicas[0].port, socket_timeout=5) as client:
        pipeline = client.pipeline(transaction=False)
        for partition in range(system.settings.partitions):
            pipeline.zcount(Keys(partition).licenses_by_version(policy), version, version)
        return sum(pipeline.execute())


async def _until_some_have(system: System, policy: str, version: int, of: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not _with_version(system, policy, version):
        assert time.monotonic() < deadline, "no license got the terms"
        await asyncio.sleep(0.002)
    assert _with_version(system, policy, version) < of


async def _until_none_is_behind(client: httpx.AsyncClient, policy: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        answer = await client.get(f"/v1/policies/{policy}/progress")
        if answer.status_code == 200 and answer.json()["data"]["attributes"]["behind"] == 0:
            return
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.1)


async def _all_have(system: System, policy: str, version: int, *, seats: int, count: int) -> None:
    """Both replicas' indexes and each license's document say the same."""
    await asyncio.to_thread(system.wait_level)
    for replica in system.replicas:
        seen = 0
        with Redis(port=replica.port, socket_timeout=5) as client:
            for partition in range(system.settings.partitions):
                keys = Keys(partition)
                index = client.zrange(keys.licenses_by_version(policy), 0, -1, withscores=True)
                assert isinstance(index, list)
                assert {score for _, score in index} <= {version}
                seen += len(index)
                documents = client.mget([keys.license(id_.decode()) for id_, _ in index] or ["-"])
                assert isinstance(documents, list)
                for document in documents[: len(index)]:
                    license_ = read_license(document)
                    assert (license_.policy_version, license_.limit) == (version, seats)
        assert seen == count
