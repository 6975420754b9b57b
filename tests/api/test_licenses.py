"""Issuing and reading licenses."""

from __future__ import annotations

import httpx
import pytest

from tests.api.conftest import Worker
from tests.vendor import license_body


async def post(worker: Worker, **attributes: object) -> httpx.Response:
    body = license_body(worker.catalog.policy, **attributes)
    return await worker.client.post("/v1/licenses", json=body)


async def test_a_license_is_issued_and_read(worker: Worker) -> None:
    answer = await post(
        worker,
        name="Ünïversity «Ω»",
        key="a given key",
        expiry="2099-01-01T00:00:00+01:00",
        maxMachines=7,
        metadata={"b": [1.50], "a": "line\nbreak"},
    )
    assert answer.status_code == 201
    document = answer.json()
    assert set(document) == {"data"}
    resource = document["data"]
    assert set(resource) == {"id", "type", "attributes", "relationships", "links"}
    assert resource["type"] == "licenses"
    attributes = resource["attributes"]
    expected = {
        "key": "a given key",
        "name": "Ünïversity «Ω»",
        "expiry": "2098-12-31T23:00:00.000Z",
        "status": "ACTIVE",
        "maxMachines": 7,
        "suspended": False,
        "metadata": {"a": "line\nbreak", "b": [1.5]},
        "seats": {"used": 0, "limit": 7, "peak": 0, "peakPosition": 0},
    }
    assert {name: attributes[name] for name in expected} == expected
    assert attributes["created"].endswith("Z")
    assert resource["relationships"]["policy"]["data"]["id"] == worker.catalog.policy
    assert answer.headers["location"] == resource["links"]["self"]
    assert answer.headers["content-type"] == "application/vnd.api+json"
    ledger, _, place = answer.headers["ledger-position"].partition(":")
    assert ledger == worker.catalog.ledger
    assert place.split(".")[1].isdigit()

    read = await worker.client.get(answer.headers["location"])
    assert read.status_code == 200
    assert read.json() == document
    assert int(read.headers["ledger-age-ms"]) >= 0
    assert read.headers["ledger-source"] in {"REPLICA_A", "REPLICA_B"}


@pytest.mark.parametrize("by", ["id", "ID", "key"])
@pytest.mark.parametrize("account", ["", "/accounts/demo", "/accounts/{uuid}", "/accounts/{UUID}"])
async def test_a_license_is_found_in_both_forms_of_the_url(
    worker: Worker, by: str, account: str
) -> None:
    issued = await worker.vendor.issue()
    named = {
        "id": issued["id"],
        "ID": issued["id"].upper(),
        "key": issued["attributes"]["key"],
    }[by]
    uuid = worker.catalog.account
    path = account.replace("{uuid}", uuid).replace("{UUID}", uuid.upper())
    answer = await worker.client.get(f"/v1{path}/licenses/{named}")
    assert answer.json()["data"]["id"] == issued["id"]


@pytest.mark.parametrize("key", ["with/slashes/in it", "100%2F?#&=+", "ünïcode «Ω»", "a.b.json"])
async def test_a_key_of_any_letters_is_found_in_a_path(worker: Worker, key: str) -> None:
    assert (await post(worker, key=key)).status_code == 201
    quoted = "".join(f"%{byte:02X}" for byte in key.encode())
    answer = await worker.client.get(f"/v1/licenses/{quoted}")
    assert answer.status_code == 200
    assert answer.json()["data"]["attributes"]["key"] == key


async def test_a_key_that_looks_like_an_id_is_still_found(worker: Worker) -> None:
    key = "0b7e5a3c-1111-4222-8333-444455556666"
    issued = (await post(worker, key=key)).json()["data"]
    answer = await worker.client.get(f"/v1/licenses/{key}")
    assert answer.json()["data"]["id"] == issued["id"]


async def test_a_key_is_made_where_none_is_given(worker: Worker) -> None:
    one, other = await worker.vendor.issue(), await worker.vendor.issue()
    assert one["attributes"]["key"].startswith("LIC-")
    assert one["attributes"]["key"] != other["attributes"]["key"]
    assert len(one["attributes"]["key"]) >= 40


async def test_a_key_that_is_taken_is_refused_at_the_key(worker: Worker) -> None:
    assert (await post(worker, key="the same key")).status_code == 201
    again = await post(worker, key="the same key")
    assert again.status_code == 422
    [error] = again.json()["errors"]
    assert (error["code"], error["source"]) == ("KEY_TAKEN", {"pointer": "/data/attributes/key"})
    assert again.json()["meta"]["position"] == again.headers["ledger-position"]
    read = (await worker.client.get("/v1/licenses/the same key")).json()["data"]
    assert read["attributes"]["refusals"] == {"key-taken": 1}


@pytest.mark.parametrize("named", ["nobody's key", "0b7e5a3c-1111-4222-8333-444455556666", "%00"])
async def test_what_is_not_there_is_not_found(worker: Worker, named: str) -> None:
    answer = await worker.client.get(f"/v1/licenses/{named}")
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["code"] == "NOT_FOUND"


async def test_an_expired_license_says_so(worker: Worker) -> None:
    issued = await worker.vendor.issue(expiry="2001-01-01T00:00:00Z")
    assert issued["attributes"]["status"] == "EXPIRED"
