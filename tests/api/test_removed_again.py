"""A DELETE that went through is answered the same when it is repeated with its Idempotency-Key."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.cast import ACCOUNT, Cast
from tests.api.conftest import LocalLedger, Worker
from tests.vendor import license_body, machine_body

KEY = {"Idempotency-Key": "gone-1"}


@pytest.fixture
async def cast(worker: Worker) -> Cast:
    cast = Cast(worker)
    await cast.start()
    return cast


async def delete(worker: Worker, path: str, key: str | None = "gone-1") -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await worker.client.delete(path, headers=headers)


async def machine_of(worker: Worker, fingerprint: str = "f") -> str:
    license_ = (await worker.vendor.issue())["id"]
    made = await worker.client.post("/v1/machines", json=machine_body(license_, fingerprint))
    id_: str = made.json()["data"]["id"]
    return id_


async def test_a_machine_that_went_is_answered_at_any_worker_as_it_was(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    path = f"/v1/machines/{await machine_of(one)}"
    first = await delete(one, path)
    before = await ledger.ends()
    for worker in (other, one):
        again = await delete(worker, path)
        assert (again.status_code, again.content) == (204, b"")
        assert again.headers["ledger-position"] == first.headers["ledger-position"]
    assert (await delete(other, path, None)).status_code == 404
    assert (await delete(other, path, "another")).status_code == 404
    assert await ledger.ends() == before, "a repetition has written"


async def test_of_many_licenses_the_right_one_is_found(worker: Worker) -> None:
    machines = [await machine_of(worker, f"f{number}") for number in range(12)]
    for number, id_ in enumerate(machines):
        assert (await delete(worker, f"/v1/machines/{id_}", f"gone-{number}")).status_code == 204
    for number, id_ in enumerate(machines):
        assert (await delete(worker, f"/v1/machines/{id_}", f"gone-{number}")).status_code == 204
        other = f"gone-{number + 1}"
        assert (await delete(worker, f"/v1/machines/{id_}", other)).status_code in {404, 422}


async def test_another_machine_under_the_same_key_is_a_mismatch(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=2))["id"]
    ids = []
    for fingerprint in ("one", "other"):
        made = await worker.client.post("/v1/machines", json=machine_body(license_, fingerprint))
        ids.append(made.json()["data"]["id"])
    assert (await delete(worker, f"/v1/machines/{ids[0]}")).status_code == 204
    assert (await delete(worker, f"/v1/machines/{ids[1]}", "second")).status_code == 204
    mismatch = await delete(worker, f"/v1/machines/{ids[1]}")
    assert mismatch.json()["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_one_that_was_refused_stays_refused(worker: Worker) -> None:
    id_ = await machine_of(worker)
    assert (await delete(worker, f"/v1/machines/{id_}", None)).status_code == 204
    assert (await delete(worker, f"/v1/machines/{id_}")).status_code == 404


async def test_a_machine_that_came_again_stays(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    body = machine_body(license_, "f")
    id_ = (await worker.client.post("/v1/machines", json=body)).json()["data"]["id"]
    assert (await delete(worker, f"/v1/machines/{id_}")).status_code == 204
    assert (await worker.client.post("/v1/machines", json=body)).status_code == 201
    assert (await delete(worker, f"/v1/machines/{id_}")).status_code == 204
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 1


@pytest.mark.parametrize("by", ["id", "fingerprint"])
async def test_a_license_takes_its_own_machine_off_by_id_and_fingerprint(
    worker: Worker, cast: Cast, by: str
) -> None:
    body = machine_body(cast.licenses["mine"], "4c:aa")
    machine = (await cast.made("/machines", body))["id"]
    path = f"/v1/accounts/{ACCOUNT}/machines/{machine if by == 'id' else '4c:aa'}"
    headers = {"Authorization": f"Bearer {cast.tokens['license']}"}
    for sent, status in ((KEY, 204), (KEY, 204), ({}, 404)):
        answer = await worker.stranger.delete(path, headers={**headers, **sent})
        assert answer.status_code == status


async def test_who_did_not_take_it_off_is_told_nothing(worker: Worker, cast: Cast) -> None:
    machine = await cast.subject("product", "machines", "mine")
    path = f"/v1/accounts/{ACCOUNT}/machines/{machine}"
    statuses = []
    for role in ("product", "product", "admin"):
        headers = {"Authorization": f"Bearer {cast.tokens[role]}", **KEY}
        statuses.append((await worker.stranger.delete(path, headers=headers)).status_code)
    assert statuses == [204, 204, 404]


@pytest.mark.parametrize("form", ["licenses/{}", "licenses/{}/actions/revoke"])
@pytest.mark.parametrize("by", ["id", "key"])
async def test_a_license_that_was_revoked_is_answered_as_it_was(
    ledger: LocalLedger, worker: Worker, form: str, by: str
) -> None:
    other = await ledger.worker()
    body = license_body(worker.catalog.policy, key="A-GIVEN-KEY")
    license_ = (await worker.client.post("/v1/licenses", json=body)).json()["data"]
    path = "/v1/" + form.format(license_["id"] if by == "id" else "A-GIVEN-KEY")
    first, again = await delete(worker, path), await delete(other, path)
    assert (first.status_code, again.status_code) == (204, 204)
    assert first.headers["ledger-position"] == again.headers["ledger-position"]
    assert (await delete(worker, path, None)).status_code == 404
    assert (await worker.client.post("/v1/licenses", json=body)).status_code == 201
    assert (await delete(worker, path)).status_code == 204
    assert (await worker.client.get("/v1/licenses/A-GIVEN-KEY")).status_code == 200


@pytest.mark.parametrize("kind", ["products", "policies", "entitlements", "tokens"])
async def test_what_went_from_the_catalog_is_answered_as_it_was(
    ledger: LocalLedger, worker: Worker, cast: Cast, kind: str
) -> None:
    other = await ledger.worker()
    subject = await (_product(cast) if kind == "products" else cast.subject("root", kind, "mine"))
    path = f"/v1/accounts/{ACCOUNT}/{kind}/{subject}"
    first, again = await delete(worker, path), await delete(other, path)
    assert (first.status_code, again.status_code) == (204, 204), again.text
    assert first.headers["ledger-position"] == again.headers["ledger-position"]
    assert (await delete(other, path, None)).status_code == 404
    elsewhere = await delete(other, f"/v1/accounts/{ACCOUNT}/{kind}/{cast.licenses['mine']}")
    assert elsewhere.json()["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"


async def _product(cast: Cast) -> str:
    body: dict[str, Any] = {"data": {"type": "products", "attributes": {"name": "to go"}}}
    id_: str = (await cast.made("/products", body))["id"]
    return id_
