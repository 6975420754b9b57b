"""Lists of licenses and machines: what is in them, in which order, in each form of page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.conftest import Worker
from tests.vendor import license_body, resource_body

NOWHERE = "0b7e5a3c-1111-4222-8333-444455556666"


class Stock:
    """Thirty licenses of two policies, newest first; each third has a machine."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.policies: list[str] = []
        self.licenses: list[str] = []
        self.machines: list[str] = []

    async def fill(self) -> None:
        client = self.worker.client
        product = ("products", self.worker.catalog.product)
        for name in ("a", "b"):
            body = resource_body("policies", {"name": name, "floating": True}, product=product)
            self.policies.append(
                (await client.post("/v1/policies", json=body)).json()["data"]["id"]
            )
        for number in range(30):
            body = license_body(self.policies[number % 2], metadata={"number": number})
            license_ = (await client.post("/v1/licenses", json=body)).json()["data"]["id"]
            self.licenses.insert(0, license_)
            if number % 3 == 0:
                made = await self.worker.vendor.activate(license_, f"f{number}", platform="linux")
                self.machines.insert(0, made.json()["data"]["id"])

    async def ask(self, query: str) -> httpx.Response:
        return await self.worker.client.get(f"/v1/{query}")

    async def ids(self, query: str) -> list[str]:
        answer = await self.ask(query)
        assert answer.status_code == 200, answer.text
        return [each["id"] for each in answer.json()["data"]]


@pytest.fixture
async def stock(worker: Worker) -> Stock:
    stock = Stock(worker)
    await stock.fill()
    return stock


async def walked(stock: Stock, query: str) -> list[str]:
    """Ids of all pages, by following the links."""
    found: list[str] = []
    following: str | None = query
    while following is not None:
        document: dict[str, Any] = (await stock.ask(following)).json()
        found += [each["id"] for each in document["data"]]
        link = document["links"]["next"]
        following = None if link is None else link.partition("/v1/")[2]
    return found


async def test_each_form_of_page_is_newest_first(stock: Stock) -> None:
    assert await stock.ids("licenses") == stock.licenses[:10]
    assert await stock.ids("licenses?limit=30") == stock.licenses
    assert await stock.ids("licenses?page[number]=3&page[size]=7") == stock.licenses[14:21]
    assert await walked(stock, "licenses?page[cursor]=&page[size]=7") == stock.licenses
    assert await walked(stock, "licenses?page[number]=1&page[size]=8") == stock.licenses
    assert await walked(stock, "machines?page[cursor]=&page[size]=4") == stock.machines


async def test_a_walk_misses_nothing_while_licenses_come_and_go(stock: Stock) -> None:
    first = (await stock.ask("licenses?page[cursor]=&page[size]=10")).json()
    cursor = first["data"][-1]["id"]
    revoked = await stock.worker.client.delete(f"/v1/licenses/{cursor}")
    assert revoked.status_code == 204
    await stock.worker.vendor.issue()
    rest = await walked(stock, f"licenses?page[cursor]={cursor}&page[size]=10")
    assert rest == stock.licenses[10:]


async def test_filters_of_licenses(stock: Stock) -> None:
    one, other = stock.policies
    assert await stock.ids(f"licenses?limit=100&policy={one}") == stock.licenses[1::2]
    assert await stock.ids(f"licenses?limit=100&policy={other}") == stock.licenses[::2]
    product = stock.worker.catalog.product
    assert await stock.ids(f"licenses?limit=100&product={product}") == stock.licenses
    assert await stock.ids(f"licenses?product={NOWHERE}") == []
    assert await stock.ids(f"licenses?policy={NOWHERE}") == []
    assert await stock.ids("licenses?metadata[number]=29") == stock.licenses[:1]
    assert await stock.ids("licenses?metadata[other]=29") == []
    path = f"/v1/licenses/{stock.licenses[4]}/actions/suspend"
    assert (await stock.worker.client.post(path)).status_code == 200
    assert await stock.ids("licenses?status=SUSPENDED") == stock.licenses[4:5]
    assert len(await stock.ids("licenses?limit=100&status=ACTIVE")) == 29


async def test_filters_of_machines(stock: Stock) -> None:
    license_ = stock.licenses[2]  # the newest with a machine
    key = (await stock.worker.vendor.license(license_))["attributes"]["key"]
    newest = stock.machines[:1]
    assert await stock.ids(f"machines?license={license_}") == newest
    assert await stock.ids(f"machines?key={key}") == newest
    assert await stock.ids(f"licenses/{license_}/machines") == newest
    assert await stock.ids("machines?fingerprint=f27") == newest
    assert await stock.ids("machines?fingerprint=nobody") == []
    assert await stock.ids(f"machines?license={NOWHERE}") == []
    assert set(await stock.ids(f"machines?limit=100&policy={stock.policies[0]}")) == set(
        stock.machines[1::2]
    )
    gone = await stock.worker.client.delete(f"/v1/machines/{newest[0]}")
    assert gone.status_code == 204
    assert await stock.ids("machines?limit=100") == stock.machines[1:]


async def test_a_filter_that_is_not_offered_is_named(stock: Stock) -> None:
    for query in ("licenses?owner=x", "machines?group=x", "licenses?fingerprint=x"):
        answer = await stock.ask(query)
        assert answer.status_code == 400
        [error] = answer.json()["errors"]
        assert error["code"] == "FILTER_NOT_SUPPORTED"
        assert error["source"]["parameter"] in query
