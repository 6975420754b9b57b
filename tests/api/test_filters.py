"""Filters of lists: what nothing can have is refused by name, what nothing has is an empty page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Worker
from tests.vendor import license_body

NOWHERE = "0b7e5a3c-1111-4222-8333-444455556666"
LONG = "x" * 513

ILL_FORMED = [
    ("licenses", "status", "NONSENSE"),
    ("licenses", "status", "INACTIVE"),
    ("licenses", "status", ""),
    ("licenses", "policy", "p-1"),
    ("licenses", "policy", ""),
    ("licenses", "product", "not-an-id"),
    ("licenses", "metadata", "x"),
    ("licenses", "metadata[]", "x"),
    ("licenses", "metadata[a][b]", "x"),
    ("machines", "policy", "p-1"),
    ("machines", "product", "p-1"),
    ("machines", "license", ""),
    ("machines", "key", ""),
    ("machines", "key", LONG),
    ("machines", "fingerprint", ""),
    ("machines", "fingerprint", LONG),
    ("machines", "metadata", "x"),
    ("machines", "metadata[]", "x"),
    ("policies", "product", "p-1"),
    ("tokens", "bearer[id]", "p-1"),
    ("tokens", "bearer[type]", "nobody"),
]
WELL_FORMED = [
    *(("licenses", name, NOWHERE) for name in ("policy", "product")),
    *(("machines", name, NOWHERE) for name in ("policy", "product", "license")),
    *(("machines", name, "nobody") for name in ("key", "license", "fingerprint", "platform")),
    *(("licenses", "status", value) for value in ("SUSPENDED", "expired", "EXPIRING")),
    ("licenses", "metadata[none]", ""),
    ("machines", "metadata[a-b.c]", "x"),
    ("policies", "product", NOWHERE),
    ("tokens", "bearer[id]", NOWHERE),
    ("tokens", "bearer[type]", "products"),
]


@pytest.mark.parametrize(("list_", "name", "value"), ILL_FORMED)
async def test_a_value_that_nothing_can_have_is_refused_by_name(
    worker: Worker, issued: dict[str, Any], list_: str, name: str, value: str
) -> None:
    answer = await worker.client.get(f"/v1/{list_}", params={name: value})
    assert answer.status_code == 400, answer.text
    [error] = answer.json()["errors"]
    assert (error["code"], error["source"]) == ("PARAMETER_INVALID", {"parameter": name})


@pytest.mark.parametrize(("list_", "name", "value"), WELL_FORMED)
async def test_a_value_that_nothing_has_gives_an_empty_page(
    worker: Worker, issued: dict[str, Any], list_: str, name: str, value: str
) -> None:
    answer = await worker.client.get(f"/v1/{list_}", params={name: value})
    assert (answer.status_code, answer.json()["data"]) == (200, []), answer.text


async def test_the_error_tells_the_word_and_those_that_there_are(worker: Worker) -> None:
    async def detail(value: str) -> str:
        answer = await worker.client.get("/v1/licenses", params={"status": value})
        text: str = answer.json()["errors"][0]["detail"]
        return text

    told = await detail("banned")
    assert told == (
        "status is one of ACTIVE, EXPIRING, EXPIRED, SUSPENDED: banned is not one of them."
    )
    assert "4c:aa:16" not in await detail("4c:aa:16:b2")


async def test_a_license_by_id_and_by_key_is_one_or_none(
    worker: Worker, issued: dict[str, Any]
) -> None:
    key = issued["attributes"]["key"]
    other = await worker.vendor.issue()

    async def listed(**filters: str) -> int:
        answer = await worker.client.get("/v1/machines", params=filters)
        return len(answer.json()["data"])

    assert await listed(license=issued["id"], key=key) == 1
    assert await listed(license=issued["id"], key=other["attributes"]["key"]) == 0
    assert await listed(license=issued["id"], key="nobody") == 0
    assert await listed(license=other["id"], key=key) == 0


async def test_a_license_that_asks_is_filtered_as_everybody_is(worker: Worker) -> None:
    product = ("products", worker.catalog.product)
    attributes = {"name": "p", "floating": True, "authenticationStrategy": "LICENSE"}
    body = {
        "data": {
            "type": "policies",
            "attributes": attributes,
            "relationships": {"product": {"data": {"type": product[0], "id": product[1]}}},
        }
    }
    policy = (await worker.client.post("/v1/policies", json=body)).json()["data"]["id"]
    made = await worker.client.post("/v1/licenses", json=license_body(policy, key="KEY-0001"))
    assert made.status_code == 201, made.text

    async def listed(**filters: str) -> int:
        answer = await worker.stranger.get(
            "/v1/licenses", params=filters, headers={"Authorization": "License KEY-0001"}
        )
        assert answer.status_code == 200, answer.text
        return len(answer.json()["data"])

    assert await listed(policy=policy) == 1
    assert await listed(policy=policy.upper()) == 1
    assert await listed(policy=worker.catalog.policy) == 0
