"""The catalog over HTTP: made, shown, listed, changed, deleted, and known at once everywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.vendor import license_body, resource_body

NOWHERE = "0b7e5a3c-1111-4222-8333-444455556666"


async def created(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    resource: dict[str, Any] = answer.json()["data"]
    assert answer.headers["location"].endswith(resource["id"])
    assert ":catalog." in answer.headers["ledger-position"]
    return resource


async def a_policy(worker: Worker, **attributes: object) -> dict[str, Any]:
    body = resource_body(
        "policies", {"name": "p", **attributes}, product=("products", worker.catalog.product)
    )
    return await created(worker.client, "/v1/policies", body)


def error_of(answer: httpx.Response) -> tuple[int, str, str | None]:
    [error] = answer.json()["errors"]
    return answer.status_code, error["code"], error.get("source", {}).get("pointer")


async def test_a_product_lives_and_goes(worker: Worker) -> None:
    body = resource_body("products", {"name": "Editor", "code": "editor", "metadata": {"a": 1}})
    product = await created(worker.client, "/v1/products", body)
    attributes = product["attributes"]
    assert (attributes["name"], attributes["code"]) == ("Editor", "editor")
    assert attributes["distributionStrategy"] == "LICENSED"
    assert attributes["metadata"] == {"a": 1}
    assert product["relationships"]["account"]["data"]["id"] == worker.catalog.account
    path = f"/v1/products/{product['id']}"
    assert (await worker.client.get(path)).json()["data"] == product
    change = resource_body("products", {"name": "Writer", "code": None})
    changed = (await worker.client.patch(path, json=change)).json()["data"]
    assert changed["attributes"]["name"] == "Writer"
    assert changed["attributes"]["code"] is None
    assert changed["attributes"]["metadata"] == {"a": 1}
    assert (await worker.client.delete(path)).status_code == 204
    for method in ("GET", "PATCH", "DELETE"):
        sent = change if method == "PATCH" else None
        gone = await worker.client.request(method, path, json=sent)
        assert error_of(gone)[:2] == (404, "NOT_FOUND")


async def test_a_code_is_unique_and_free_again(worker: Worker) -> None:
    body = resource_body("products", {"name": "A", "code": "same"})
    first = await created(worker.client, "/v1/products", body)
    taken = await worker.client.post("/v1/products", json=body)
    assert error_of(taken) == (422, "CODE_TAKEN", "/data/attributes/code")
    await worker.client.delete(f"/v1/products/{first['id']}")
    await created(worker.client, "/v1/products", body)


async def test_a_product_with_policies_stays(worker: Worker) -> None:
    path = f"/v1/products/{worker.catalog.product}"
    assert error_of(await worker.client.delete(path))[:2] == (422, "IN_USE")


async def test_a_policy_s_terms_are_those_of_its_licenses(worker: Worker) -> None:
    policy = await a_policy(
        worker,
        maxMachines=3,
        duration=86_400,
        strict=True,
        overageStrategy="ALLOW_2X_OVERAGE",
    )
    shown = policy["attributes"]
    assert (shown["maxMachines"], shown["floating"], shown["version"]) == (3, False, 0)
    issued = await worker.client.post("/v1/licenses", json=license_body(policy["id"]))
    license_ = issued.json()["data"]
    attributes = license_["attributes"]
    assert attributes["maxMachines"] == 3
    assert attributes["seats"]["limit"] == 6
    assert (attributes["strict"], attributes["floating"]) == (True, False)
    assert attributes["status"] == "EXPIRING"
    assert license_["relationships"]["policy"]["data"]["id"] == policy["id"]
    assert error_of(await worker.client.delete(f"/v1/policies/{policy['id']}"))[:2] == (
        422,
        "IN_USE",
    )


async def test_one_that_is_not_floating_has_one_seat(worker: Worker) -> None:
    assert (await a_policy(worker))["attributes"]["maxMachines"] == 1
    assert (await a_policy(worker, floating=True))["attributes"]["maxMachines"] is None


@pytest.mark.parametrize(
    ("attributes", "status", "code", "at"),
    [
        ({}, 422, "VALUE_BLANK", "name"),
        ({"name": "p", "maxMachines": 0}, 422, "VALUE_INVALID", "maxMachines"),
        ({"name": "p", "maxMachines": "3"}, 400, "VALUE_INVALID", "maxMachines"),
        ({"name": "p", "duration": -5}, 422, "VALUE_INVALID", "duration"),
        ({"name": "p", "overageStrategy": "WHATEVER"}, 422, "VALUE_INVALID", "overageStrategy"),
        ({"name": "p", "requireCheckIn": True}, 422, "VALUE_BLANK", "checkInInterval"),
        ({"name": "p", "usePool": True}, 422, "ATTRIBUTE_NOT_SUPPORTED", "usePool"),
        ({"name": "p", "maxLicenses": 5}, 422, "ATTRIBUTE_NOT_SUPPORTED", "maxLicenses"),
        ({"name": "p", "maxUsers": 5}, 422, "ATTRIBUTE_NOT_SUPPORTED", "maxUsers"),
        (
            {"name": "p", "machineUniquenessStrategy": "UNIQUE_PER_ACCOUNT"},
            422,
            "ATTRIBUTE_NOT_SUPPORTED",
            "machineUniquenessStrategy",
        ),
        ({"name": "p", "color": "red"}, 400, "MEMBER_UNKNOWN", "color"),
    ],
)
async def test_a_policy_s_attribute_is_refused_by_name(
    worker: Worker, attributes: dict[str, object], status: int, code: str, at: str
) -> None:
    product = ("products", worker.catalog.product)
    body = resource_body("policies", attributes, product=product)
    refused = await worker.client.post("/v1/policies", json=body)
    assert error_of(refused) == (status, code, f"/data/attributes/{at}")


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("User", 422, "ATTRIBUTE_NOT_SUPPORTED"),
        ("Components", 422, "ATTRIBUTE_NOT_SUPPORTED"),
        ("Checksum", 422, "ATTRIBUTE_NOT_SUPPORTED"),
        ("Version", 422, "ATTRIBUTE_NOT_SUPPORTED"),
        ("Environment", 422, "ATTRIBUTE_NOT_SUPPORTED"),
        ("Entitlements", 400, "MEMBER_UNKNOWN"),
    ],
)
async def test_a_scope_that_no_policy_can_require_is_refused_by_name(
    worker: Worker, what: str, status: int, code: str
) -> None:
    name = f"require{what}Scope"
    product = ("products", worker.catalog.product)
    body = resource_body("policies", {"name": "p", name: True}, product=product)
    for method, path in (("POST", ""), ("PATCH", f"/{worker.catalog.policy}")):
        refused = await worker.client.request(method, f"/v1/policies{path}", json=body)
        assert error_of(refused) == (status, code, f"/data/attributes/{name}")


async def test_what_every_policy_does_may_be_asked_for(worker: Worker) -> None:
    usual = {
        "machineUniquenessStrategy": "UNIQUE_PER_LICENSE",
        "heartbeatCullStrategy": "DEACTIVATE_DEAD",
        "usePool": False,
        "maxUsers": None,
        "scheme": None,
    }
    assert (await a_policy(worker, **usual))["attributes"]["usePool"] is False


async def test_a_policy_of_no_product_is_refused(worker: Worker) -> None:
    for product in (NOWHERE, worker.catalog.policy, "x"):
        body = resource_body("policies", {"name": "p"}, product=("products", product))
        refused = await worker.client.post("/v1/policies", json=body)
        assert error_of(refused)[:2] == (422, "PRODUCT_NOT_FOUND")
    without = await worker.client.post(
        "/v1/policies", json=resource_body("policies", {"name": "p"})
    )
    assert error_of(without) == (422, "VALUE_BLANK", "/data/relationships/product")


async def test_an_entitlement_s_code_is_fixed(worker: Worker) -> None:
    body = resource_body("entitlements", {"name": "Export", "code": "EXPORT"})
    entitlement = await created(worker.client, "/v1/entitlements", body)
    path = f"/v1/entitlements/{entitlement['id']}"
    change = resource_body("entitlements", {"code": "OTHER"})
    refused = await worker.client.patch(path, json=change)
    assert error_of(refused) == (422, "ATTRIBUTE_FIXED", "/data/attributes/code")
    change = resource_body("entitlements", {"name": "Exporting", "code": "EXPORT"})
    assert (await worker.client.patch(path, json=change)).json()["data"]["attributes"]["name"] == (
        "Exporting"
    )


@pytest.mark.parametrize("kind", ["products", "policies", "entitlements"])
async def test_a_change_names_something(worker: Worker, kind: str) -> None:
    if kind == "policies":
        entity = await a_policy(worker)
    else:
        body = resource_body(kind, {"name": "Export", "code": "EXPORT"})
        entity = await created(worker.client, f"/v1/{kind}", body)
    path = f"/v1/{kind}/{entity['id']}"
    refused = await worker.client.patch(path, json=resource_body(kind, {}))
    assert error_of(refused) == (422, "NOTHING_CHANGED", "/data/attributes")


async def test_an_account_s_change_names_something(worker: Worker) -> None:
    body = resource_body("accounts", {})
    refused = await worker.client.patch(f"/v1/accounts/{worker.catalog.account}", json=body)
    assert error_of(refused) == (422, "NOTHING_CHANGED", "/data/attributes")


async def test_what_is_made_at_one_worker_is_known_at_the_other(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    for number in range(20):
        body = resource_body("products", {"name": f"P{number}"})
        product = await created(one.client, "/v1/products", body)
        found = await other.client.get(f"/v1/products/{product['id']}")
        assert found.status_code == 200, number


async def test_a_repetition_makes_one_entity(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    headers = {"Idempotency-Key": "made-once"}
    body = resource_body("products", {"name": "Once", "code": "once"})
    first = await one.client.post("/v1/products", json=body, headers=headers)
    again = await other.client.post("/v1/products", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["data"] == again.json()["data"]
    another = resource_body("products", {"name": "Twice", "code": "twice"})
    mismatch = await other.client.post("/v1/products", json=another, headers=headers)
    assert error_of(mismatch)[:2] == (422, "IDEMPOTENCY_MISMATCH")


async def test_lists_are_newest_first_and_paged(worker: Worker) -> None:
    names = [f"P{number:02d}" for number in range(25)]
    for name in names:
        await created(worker.client, "/v1/products", resource_body("products", {"name": name}))

    async def page(query: str) -> tuple[list[str], dict[str, Any]]:
        document = (await worker.client.get(f"/v1/products?{query}")).json()
        return [each["attributes"]["name"] for each in document["data"]], document["links"]

    newest = list(reversed(names))
    assert await page("limit=5") == (newest[:5], {})
    assert (await page(""))[0] == newest[:10]
    found, links = await page("page[number]=2&page[size]=10")
    assert found == newest[10:20]
    assert links["next"] is not None
    walked: list[str] = []
    query: str | None = "page[cursor]=&page[size]=7"
    while query is not None:
        found, links = await page(query)
        walked += found
        query = None if links["next"] is None else links["next"].partition("?")[2]
    assert walked[:25] == newest
    assert len(walked) == 26  # and the ledger's first product
    bad = await worker.client.get("/v1/products?page[cursor]=nonsense&page[size]=5")
    assert bad.status_code == 400


async def test_a_catalog_that_can_t_be_read_to_its_end_denies_nothing(
    ledger: LocalLedger, worker: Worker
) -> None:
    known = await created(worker.client, "/v1/products", resource_body("products", {"name": "P"}))
    for follower in ledger.followers:
        follower.still = True
    await asyncio.sleep(0.1)  # what it had begun it has done
    [*_, last] = await ledger.records_of_the_catalog()
    assert last.key is not None
    await ledger.log.append(Topic.CATALOG_EVENTS, 0, key=last.key, value=last.value)
    assert (await worker.client.get(f"/v1/products/{known['id']}")).status_code == 200
    unknown = await worker.client.get(f"/v1/products/{NOWHERE}")
    assert error_of(unknown)[:2] == (503, "CATALOG_BEHIND")
    stranger = {"Authorization": "Bearer admin-nobody"}
    refused = await worker.stranger.get(f"/v1/products/{known['id']}", headers=stranger)
    assert error_of(refused)[:2] == (503, "CATALOG_BEHIND")
