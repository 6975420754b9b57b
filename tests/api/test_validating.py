"""Checks over HTTP: what an existing client reads, by key and by id."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import append, order

BY_KEY = "/v1/licenses/actions/validate-key"


async def by_key(worker: Worker, key: str, **meta: object) -> dict[str, Any]:
    answer = await worker.stranger.post(BY_KEY, json={"meta": {"key": key, **meta}})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_a_valid_license_is_valid(worker: Worker) -> None:
    issued = await worker.vendor.issue(name="n")
    await worker.vendor.activate(issued["id"], "f")
    document = await by_key(
        worker, issued["attributes"]["key"], scope={"fingerprint": "f"}, nonce=7
    )
    meta = document["meta"]
    assert set(document) == {"meta", "data"}
    assert (meta["valid"], meta["code"], meta["nonce"]) == (True, "VALID", 7)
    assert meta["scope"] == {"fingerprint": "f"}
    assert meta["detail"]
    assert meta["source"] in {"REPLICA_A", "REPLICA_B"}
    assert 0 <= meta["ageMs"] < 60_000
    assert meta["position"].startswith(worker.catalog.ledger + ":")
    data = document["data"]
    assert data["id"] == issued["id"]
    assert data["attributes"]["key"] == issued["attributes"]["key"]
    assert data["attributes"]["lastValidated"] == meta["ts"]
    assert data["attributes"]["seats"]["used"] == 1
    assert isinstance(data["attributes"]["metadata"], dict)
    assert data["relationships"]["policy"]["data"]["id"] == worker.catalog.policy


async def test_without_scope_and_nonce_the_scope_is_empty_and_no_nonce_comes(
    worker: Worker,
) -> None:
    issued = await worker.vendor.issue()
    meta = (await by_key(worker, issued["attributes"]["key"]))["meta"]
    assert meta["scope"] == {}
    assert "nonce" not in meta
    assert "frozen" not in meta


@pytest.mark.parametrize("prefix", ["/v1", "/v1/accounts/demo"])
async def test_an_unknown_key_is_not_found_and_that_is_an_answer(
    worker: Worker, prefix: str
) -> None:
    for client in (worker.client, worker.stranger):
        answer = await client.post(
            f"{prefix}/licenses/actions/validate-key", json={"meta": {"key": "nobody's"}}
        )
        assert answer.status_code == 200
        document = answer.json()
        assert document["data"] is None
        assert (document["meta"]["code"], document["meta"]["valid"]) == ("NOT_FOUND", False)


async def test_what_the_license_is_not_for(worker: Worker) -> None:
    issued = await worker.vendor.issue()
    key, catalog = issued["attributes"]["key"], worker.catalog
    cases: list[tuple[dict[str, Any], str]] = [
        ({"product": catalog.product, "policy": catalog.policy}, "VALID"),
        ({"product": ""}, "PRODUCT_SCOPE_MISMATCH"),
        ({"policy": catalog.product}, "POLICY_SCOPE_MISMATCH"),
        ({"fingerprints": []}, "FINGERPRINT_SCOPE_EMPTY"),
        ({"fingerprint": "f"}, "NO_MACHINES"),
    ]
    for scope, code in cases:
        document = await by_key(worker, key, scope=scope)
        assert document["meta"]["code"] == code
        assert document["meta"]["scope"] == scope
        assert document["data"]["id"] == issued["id"]
    await worker.vendor.activate(issued["id"], "f")
    for scope, code in (
        ({"fingerprint": "g"}, "FINGERPRINT_SCOPE_MISMATCH"),
        ({"fingerprint": "f", "fingerprints": ["g"]}, "VALID"),
        ({"fingerprints": ["g", "f"]}, "VALID"),
    ):
        assert (await by_key(worker, key, scope=scope))["meta"]["code"] == code


async def test_suspended_expired_and_revoked(ledger: LocalLedger, worker: Worker) -> None:
    issued = await worker.vendor.issue()
    key = issued["attributes"]["key"]
    await order(ledger, worker, issued["id"], "suspend")
    document = await by_key(worker, key)
    assert document["meta"]["code"] == "SUSPENDED"
    assert document["data"]["attributes"]["status"] == "SUSPENDED"
    await order(ledger, worker, issued["id"], "reinstate")
    assert (await by_key(worker, key))["meta"]["code"] == "VALID"
    await order(ledger, worker, issued["id"], "revoke")
    document = await by_key(worker, key)
    assert (document["meta"]["code"], document["data"]) == ("NOT_FOUND", None)
    expired = (await worker.vendor.issue(expiry="2001-01-01T00:00:00Z"))["attributes"]["key"]
    document = await by_key(worker, expired)
    assert (document["meta"]["code"], document["meta"]["valid"]) == ("EXPIRED", False)


@pytest.mark.parametrize("by", ["id", "key"])
async def test_a_check_by_id_or_key_in_the_path(worker: Worker, by: str) -> None:
    issued = await worker.vendor.issue()
    named = issued["id"] if by == "id" else issued["attributes"]["key"]
    path = f"/v1/licenses/{named}/actions/validate"
    for body in (None, {"meta": {"scope": {"product": worker.catalog.product}, "nonce": 1}}, {}):
        answer = (
            await worker.client.post(path, json=body)
            if body is not None
            else (await worker.client.post(path))
        )
        assert answer.status_code == 200
        assert answer.json()["meta"]["code"] == "VALID"
        assert answer.json()["data"]["attributes"]["key"] == issued["attributes"]["key"]


async def test_a_check_by_an_unknown_id_is_not_found(worker: Worker) -> None:
    for named in ("0b7e5a3c-1111-4222-8333-444455556666", "nobody's key"):
        answer = await worker.client.post(f"/v1/licenses/{named}/actions/validate", json={})
        assert answer.status_code == 404
        assert answer.json()["errors"][0]["code"] == "NOT_FOUND"


async def test_a_frozen_license_is_checked_marked_and_takes_no_writes(
    ledger: LocalLedger, worker: Worker
) -> None:
    issued = await worker.vendor.issue()
    await worker.vendor.activate(issued["id"], "f")
    await append(ledger, worker, issued["id"], b"poison")
    document = await by_key(worker, issued["attributes"]["key"], scope={"fingerprint": "f"})
    assert document["meta"]["code"] == "VALID"
    assert document["meta"]["frozen"] is True
    before = await ledger.ends()
    for answer in (
        await worker.client.post("/v1/machines", json=_machine(issued["id"], "g")),
        await worker.client.delete("/v1/machines/f"),
    ):
        assert answer.status_code == 503
        assert answer.json()["errors"][0]["code"] == "LICENSE_FROZEN"
        assert answer.headers["retry-after"] == "60"
    assert await ledger.ends() == before


def _machine(license_: str, fingerprint: str) -> dict[str, Any]:
    linkage = {"license": {"data": {"type": "licenses", "id": license_}}}
    attributes = {"fingerprint": fingerprint}
    return {"data": {"type": "machines", "attributes": attributes, "relationships": linkage}}
