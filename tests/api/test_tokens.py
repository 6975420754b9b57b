"""Tokens: shown once, kept as digests, good at every worker, ended at every worker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from redis import Redis

from tests.api.conftest import LocalLedger, Worker
from tests.vendor import resource_body


async def made(worker: Worker, path: str, **attributes: object) -> tuple[dict[str, Any], str]:
    """Make a token; its resource and itself."""
    answer = await worker.client.post(path, json=resource_body("tokens", attributes))
    assert answer.status_code == 201, answer.text
    resource: dict[str, Any] = answer.json()["data"]
    return resource, resource["attributes"]["token"]


async def asked(worker: Worker, token: str, path: str = "/v1/me") -> httpx.Response:
    return await worker.stranger.get(path, headers={"Authorization": f"Bearer {token}"})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_it_is_shown_once_and_nothing_keeps_it(ledger: LocalLedger, worker: Worker) -> None:
    resource, token = await made(worker, "/v1/tokens", name="Console")
    assert resource["attributes"]["kind"] == "admin-token"
    read = await worker.client.get(f"/v1/tokens/{resource['id']}")
    assert "token" not in read.json()["data"]["attributes"]
    assert token not in read.text
    assert token not in (await worker.client.get("/v1/tokens")).text
    for server in ledger.servers:
        with Redis(port=server.port) as client:
            for name in client.scan_iter():
                kind = client.type(name)
                if kind == b"string":
                    assert token.encode() not in (client.get(name) or b"")
    for record in await ledger.records_of_the_catalog():
        assert token.encode() not in (record.value or b"")


async def test_me_is_who_the_credential_speaks_for(worker: Worker) -> None:
    product = worker.catalog.product
    _, token = await made(worker, f"/v1/products/{product}/tokens")
    document = (await asked(worker, token)).json()
    assert (document["data"]["type"], document["data"]["id"]) == ("products", product)
    [included] = document["included"]
    assert included["attributes"]["kind"] == "product-token"
    assert included["relationships"]["bearer"]["data"] == {"type": "products", "id": product}
    own = (await worker.client.get("/v1/me")).json()
    assert own["data"]["id"] == worker.catalog.account
    assert own["included"][0]["relationships"]["bearer"]["data"]["id"] == worker.catalog.account


async def test_a_new_secret_ends_the_old_one(worker: Worker) -> None:
    resource, old = await made(worker, "/v1/tokens")
    answer = await worker.client.put(f"/v1/tokens/{resource['id']}")
    new = answer.json()["data"]["attributes"]["token"]
    assert answer.json()["data"]["id"] == resource["id"]
    assert (await asked(worker, new)).status_code == 200
    assert code_of(await asked(worker, old)) == (401, "TOKEN_INVALID")


async def test_a_revoked_token_ends_at_every_worker_within_a_second(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    resource, token = await made(one, "/v1/tokens")
    assert (await asked(other, token)).status_code == 200
    assert (await one.client.delete(f"/v1/tokens/{resource['id']}")).status_code == 204
    assert code_of(await asked(one, token)) == (401, "TOKEN_INVALID")
    async with asyncio.timeout(10):
        while (await asked(other, token)).status_code == 200:
            await asyncio.sleep(0.01)
    assert code_of(await asked(other, token)) == (401, "TOKEN_INVALID")


async def test_an_expired_token_says_so(worker: Worker) -> None:
    _, token = await made(worker, "/v1/tokens", expiry="2001-01-01T00:00:00Z")
    assert code_of(await asked(worker, token)) == (401, "TOKEN_EXPIRED")
    _, later = await made(worker, "/v1/tokens", expiry="2999-01-01T00:00:00Z")
    assert (await asked(worker, later)).status_code == 200


async def test_a_repetition_has_the_same_token(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    headers = {"Idempotency-Key": "console-token"}
    first = await one.client.post("/v1/tokens", headers=headers)
    again = await other.client.post("/v1/tokens", headers=headers)
    assert first.json()["data"] == again.json()["data"]


async def test_a_token_s_limits_are_named_that_are_not_kept(worker: Worker) -> None:
    body = resource_body("tokens", {"maxActivations": 3})
    refused = await worker.client.post("/v1/tokens", json=body)
    assert code_of(refused) == (422, "ATTRIBUTE_NOT_SUPPORTED")
    body = resource_body("tokens", {"maxActivations": None, "permissions": None})
    assert (await worker.client.post("/v1/tokens", json=body)).status_code == 201


async def test_tokens_are_listed_by_their_bearer(worker: Worker, issued: dict[str, Any]) -> None:
    await made(worker, "/v1/tokens")
    resource, token = await made(worker, f"/v1/licenses/{issued['id']}/tokens")
    assert token.startswith("activation-")
    for query in (f"bearer[id]={issued['id']}", "bearer[type]=licenses"):
        listed = (await worker.client.get(f"/v1/tokens?{query}")).json()["data"]
        assert [each["id"] for each in listed] == [resource["id"]]
