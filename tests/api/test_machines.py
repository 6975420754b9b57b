"""Activating and deactivating machines."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from ledger.domain.identifiers import machine_id
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import order
from tests.vendor import license_body


def error_of(answer: httpx.Response) -> dict[str, Any]:
    document = answer.json()
    assert document["meta"]["id"] == answer.headers["x-request-id"]
    [error] = document["errors"]
    assert error["title"]
    assert error["detail"]
    found: dict[str, Any] = error
    return found


async def issue_under(worker: Worker, key: str) -> dict[str, Any]:
    body = license_body(worker.catalog.policy, key=key)
    answer = await worker.client.post("/v1/licenses", json=body)
    assert answer.status_code == 201, answer.text
    resource: dict[str, Any] = answer.json()["data"]
    return resource


async def test_a_machine_is_activated(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=5))["id"]
    answer = await worker.vendor.activate(
        license_,
        "the fingerprint",
        name="Ada's",
        hostname="ada.example",
        ip="192.0.2.7",
        platform="linux",
        cores=8,
        seats=2,
        metadata={"rack": 7},
    )
    assert answer.status_code == 201
    assert set(answer.json()) == {"data"}
    resource = answer.json()["data"]
    pepper = worker.services.pepper
    assert resource["id"] == machine_id(pepper, license_, "the fingerprint")
    assert resource["type"] == "machines"
    expected = {
        "fingerprint": "the fingerprint",
        "name": "Ada's",
        "hostname": "ada.example",
        "ip": "192.0.2.7",
        "platform": "linux",
        "cores": 8,
        "seats": 2,
        "metadata": {"rack": 7},
        "requireHeartbeat": False,
        "heartbeatStatus": "NOT_STARTED",
        "heartbeatDuration": 600,
        "lastHeartbeat": None,
        "nextHeartbeat": None,
    }
    attributes = resource["attributes"]
    assert {name: attributes[name] for name in expected} == expected
    assert attributes["created"] == attributes["updated"]
    relationships = resource["relationships"]
    for name, id_ in (
        ("license", license_),
        ("product", worker.catalog.product),
        ("account", worker.catalog.account),
    ):
        assert relationships[name]["data"]["id"] == id_
    assert answer.headers["location"] == resource["links"]["self"]
    seats = (await worker.vendor.license(license_))["attributes"]["seats"]
    assert (seats["used"], seats["peak"]) == (2, 2)


async def test_one_without_anything_but_a_fingerprint_has_nulls(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    attributes = (await worker.vendor.activate(license_, "f")).json()["data"]["attributes"]
    assert attributes["seats"] == 1
    assert attributes["metadata"] == {}
    for name in ("name", "ip", "hostname", "platform", "cores"):
        assert attributes[name] is None


async def test_a_fingerprint_that_is_held_is_taken_before_the_limit(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=1))["id"]
    first = (await worker.vendor.activate(license_, "f")).json()["data"]
    again = await worker.vendor.activate(license_, "f")
    error = error_of(again)
    assert again.status_code == 422
    assert error["code"] == "FINGERPRINT_TAKEN"
    assert error["source"] == {"pointer": "/data/attributes/fingerprint"}
    assert first["id"] in error["detail"]
    assert error["links"]["related"] == first["links"]["self"]


async def test_other_seats_for_a_held_fingerprint_differ(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=5))["id"]
    await worker.vendor.activate(license_, "f")
    error = error_of(await worker.vendor.activate(license_, "f", seats=2))
    assert (error["code"], error["source"]) == (
        "SEATS_DIFFER",
        {"pointer": "/data/attributes/seats"},
    )


async def test_no_more_machines_than_seats(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=2))["id"]
    await worker.vendor.activate(license_, "one")
    answer = await worker.vendor.activate(license_, "two", seats=2)
    error = error_of(answer)
    assert answer.status_code == 422
    assert (error["code"], error["source"]) == ("MACHINE_LIMIT_EXCEEDED", {"pointer": "/data"})
    assert "1 of 2 seats" in error["detail"]


async def test_many_at_once_get_what_there_is(ledger: LocalLedger) -> None:
    workers = [await ledger.worker(), await ledger.worker()]
    license_ = (await workers[0].vendor.issue(maxMachines=5))["id"]
    answers = await asyncio.gather(
        *(workers[number % 2].vendor.activate(license_, f"m{number}") for number in range(60))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 5 + [422] * 55
    attributes = (await workers[1].vendor.license(license_))["attributes"]
    assert attributes["seats"]["used"] == 5
    assert attributes["refusals"] == {"machine-limit-exceeded": 55}


async def test_a_suspended_and_an_expired_license_are_denied(
    ledger: LocalLedger, worker: Worker
) -> None:
    suspended = (await worker.vendor.issue())["id"]
    await order(ledger, worker, suspended, "suspend")
    answer = await worker.vendor.activate(suspended, "f")
    assert (answer.status_code, error_of(answer)["code"]) == (403, "LICENSE_SUSPENDED")
    expired = (await worker.vendor.issue(expiry="2001-01-01T00:00:00Z"))["id"]
    answer = await worker.vendor.activate(expired, "f")
    assert (answer.status_code, error_of(answer)["code"]) == (403, "LICENSE_EXPIRED")


async def test_a_license_that_is_not_there_is_not_found(
    ledger: LocalLedger, worker: Worker
) -> None:
    revoked = (await worker.vendor.issue())["id"]
    await order(ledger, worker, revoked, "revoke")
    for license_ in (revoked, "0b7e5a3c-1111-4222-8333-444455556666"):
        answer = await worker.vendor.activate(license_, "f")
        error = error_of(answer)
        assert (answer.status_code, error["code"]) == (404, "NOT_FOUND")
        assert error["source"] == {"pointer": "/data/relationships/license"}


@pytest.mark.parametrize("by", ["id", "fingerprint"])
@pytest.mark.parametrize("account", ["", "/accounts/demo"])
async def test_a_machine_gives_its_seats_back(worker: Worker, by: str, account: str) -> None:
    license_ = (await worker.vendor.issue(maxMachines=1))["id"]
    machine = (await worker.vendor.activate(license_, "a fing.er:print")).json()["data"]
    named = machine["id"] if by == "id" else "a fing.er:print"
    answer = await worker.client.delete(f"/v1{account}/machines/{named}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "ledger-position" in answer.headers
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 0
    gone = await worker.client.delete(f"/v1{account}/machines/{named}")
    assert (gone.status_code, error_of(gone)["code"]) == (404, "NOT_FOUND")
    assert (await worker.vendor.activate(license_, "another")).status_code == 201


async def test_of_several_with_one_fingerprint_the_oldest_goes(worker: Worker) -> None:
    licenses = [(await worker.vendor.issue())["id"] for _ in range(6)]
    for license_ in licenses:
        assert (await worker.vendor.activate(license_, "shared")).status_code == 201
        await asyncio.sleep(0.002)
    for license_ in licenses:
        assert (await worker.client.delete("/v1/machines/shared")).status_code == 204
        seats = (await worker.vendor.license(license_))["attributes"]["seats"]
        assert seats["used"] == 0
    assert (await worker.client.delete("/v1/machines/shared")).status_code == 404


async def test_a_fingerprint_that_begins_another_is_not_it(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    await worker.vendor.activate(license_, "machine-10")
    assert (await worker.client.delete("/v1/machines/machine-1")).status_code == 404


async def test_a_fingerprint_that_looks_like_an_id_is_found(worker: Worker) -> None:
    fingerprint = "0b7e5a3c-1111-4222-8333-444455556666"
    license_ = (await worker.vendor.issue())["id"]
    await worker.vendor.activate(license_, fingerprint)
    assert (await worker.client.delete(f"/v1/machines/{fingerprint}")).status_code == 204


async def test_machines_of_a_revoked_incarnation_are_gone(
    ledger: LocalLedger, worker: Worker
) -> None:
    license_ = await worker.vendor.issue()
    machine = (await worker.vendor.activate(license_["id"], "old")).json()["data"]
    await order(ledger, worker, license_["id"], "revoke")
    for named in ("old", machine["id"]):
        assert (await worker.client.delete(f"/v1/machines/{named}")).status_code == 404
    again = await issue_under(worker, license_["attributes"]["key"])
    assert again["id"] == license_["id"]
    for named in ("old", machine["id"]):
        assert (await worker.client.delete(f"/v1/machines/{named}")).status_code == 404
    assert (await worker.vendor.activate(license_["id"], "old")).status_code == 201
    assert (await worker.client.delete("/v1/machines/old")).status_code == 204


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["c", "b", "a"]),
        ({"platform": "linux"}, ["c", "a"]),
        ({"platform": "linux", "page[number]": "2", "page[size]": "1"}, ["a"]),
        ({"platform": "linux", "fingerprint": "a"}, ["a"]),
        ({"platform": "linux", "fingerprint": "b"}, []),
        ({"platform": "lin"}, []),
        ({"metadata[floor]": "2"}, ["b"]),
    ],
)
async def test_machines_are_listed_by_what_is_known_of_them(
    worker: Worker, query: dict[str, str], found: list[str]
) -> None:
    license_ = (await worker.vendor.issue(maxMachines=3))["id"]
    for fingerprint, platform, floor in (("a", "linux", 1), ("b", "mac", 2), ("c", "linux", 3)):
        await worker.vendor.activate(
            license_, fingerprint, platform=platform, metadata={"floor": floor}
        )
    answer = await worker.client.get("/v1/machines", params={"license": license_, **query})
    assert [each["attributes"]["fingerprint"] for each in answer.json()["data"]] == found
