"""What is sent again changes nothing: one seat, one license, one answer."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.system import System
from tests.vendor import Vendor, license_body, machine_body, settled


async def test_one_activation_sent_three_times_with_a_worker_killed_in_between(
    system: System,
) -> None:
    async with system.client(0) as first, system.client(1) as second, system.client(2) as third:
        vendor = Vendor([first, second, third], system.ledger)
        license_ = await vendor.issue(maxMachines=2)
        body = machine_body(license_["id"], "the-machine", name="the one")
        key = uuid4().hex

        asked = asyncio.create_task(
            first.post("/v1/machines", json=body, headers={"Idempotency-Key": key})
        )
        await asyncio.sleep(0.002)
        await asyncio.to_thread(system.workers[0].kill)
        await asyncio.gather(asked, return_exceptions=True)
        answers = [
            await settled([client], "/v1/machines", body, key=key) for client in (second, third)
        ]
        await asyncio.to_thread(system.workers[0].start)
        answers.append(await settled([first], "/v1/machines", body, key=key))

        assert [answer.status_code for answer in answers] == [201, 201, 201]
        resources = [answer.json()["data"] for answer in answers]
        assert resources[0] == resources[1] == resources[2]
        positions = {answer.headers["Ledger-Position"] for answer in answers}
        assert len(positions) == 1
        assert (await vendor.license(license_["id"]))["attributes"]["seats"]["used"] == 1


async def test_one_license_issued_twice_without_a_key_at_two_workers(vendor: Vendor) -> None:
    body = license_body(vendor.policy, name="issued twice")
    key = uuid4().hex
    answers = await asyncio.gather(
        *(settled([client], "/v1/licenses", body, key=key) for client in vendor.clients * 3)
    )
    assert {answer.status_code for answer in answers} == {201}
    documents = [answer.json() for answer in answers]
    assert all(document == documents[0] for document in documents)
    assert documents[0]["data"]["attributes"]["key"].startswith("LIC-")


async def test_another_request_under_the_same_idempotency_key_is_told_so(vendor: Vendor) -> None:
    license_ = await vendor.issue(maxMachines=5)
    key = uuid4().hex
    first = await vendor.activate(license_["id"], "machine-a", key=key)
    other = await vendor.activate(license_["id"], "machine-b", key=key)
    assert first.status_code == 201
    assert other.json()["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"
    assert (await vendor.license(license_["id"]))["attributes"]["seats"]["used"] == 1
