"""Fan-out: a policy's changed terms reach every license below its version, each exactly once."""

from __future__ import annotations

from typing import Any

from tests.api.conftest import Worker
from tests.api.test_catalog import NOWHERE, a_policy, created
from tests.vendor import license_body, resource_body


async def issue(worker: Worker, policy: str, **attributes: object) -> dict[str, Any]:
    return await created_license(worker, license_body(policy, **attributes))


async def created_license(worker: Worker, body: dict[str, Any]) -> dict[str, Any]:
    answer = await worker.client.post("/v1/licenses", json=body)
    assert answer.status_code == 201, answer.text
    license_: dict[str, Any] = answer.json()["data"]
    return license_


async def change(worker: Worker, policy: str, **attributes: object) -> int:
    """Change a policy; its version from now on."""
    body = resource_body("policies", attributes)
    answer = await worker.client.patch(f"/v1/policies/{policy}", json=body)
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["data"]["attributes"]["version"]
    return version


async def progress_of(worker: Worker, policy: str) -> dict[str, int]:
    answer = await worker.client.get(f"/v1/policies/{policy}/progress")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["type"], data["id"]) == ("policy-progress", policy)
    attributes: dict[str, int] = data["attributes"]
    return attributes


async def test_progress_counts_the_licenses_and_those_behind(worker: Worker) -> None:
    policy = (await a_policy(worker, maxMachines=1))["id"]
    assert await progress_of(worker, policy) == {"version": 0, "licenses": 0, "behind": 0}
    for _ in range(3):
        await issue(worker, policy)
    assert await progress_of(worker, policy) == {"version": 0, "licenses": 3, "behind": 0}
    assert await change(worker, policy, maxMachines=2) == 1
    await issue(worker, policy)
    assert await progress_of(worker, policy) == {"version": 1, "licenses": 4, "behind": 3}


async def test_progress_is_seen_by_who_sees_the_policy(worker: Worker) -> None:
    policy = (await a_policy(worker))["id"]
    path = f"/v1/policies/{policy}/progress"
    own = await created(worker.client, *_token_of(worker.catalog.product))
    product = await created(
        worker.client, "/v1/products", resource_body("products", {"name": "another"})
    )
    other = await created(worker.client, *_token_of(product["id"]))
    key = (await issue(worker, policy))["attributes"]["key"]
    for authorization, status in (
        (f"Bearer {own['attributes']['token']}", 200),
        (f"Bearer {other['attributes']['token']}", 404),
        (f"License {key}", 403),
    ):
        headers = {"Authorization": authorization}
        answer = await worker.stranger.get(path, headers=headers)
        assert answer.status_code == status, (authorization, answer.text)
    assert (await worker.stranger.get(path)).status_code == 401
    nowhere = await worker.client.get(f"/v1/policies/{NOWHERE}/progress")
    assert nowhere.status_code == 404


def _token_of(product: str) -> tuple[str, dict[str, Any]]:
    return f"/v1/products/{product}/tokens", resource_body("tokens", {})
