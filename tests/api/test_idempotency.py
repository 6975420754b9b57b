"""Repeating a request: one seat, one license, one answer; nothing is remembered by the worker."""

from __future__ import annotations

import asyncio
import json

import httpx

from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.vendor import license_body, machine_body, resource_body


async def post(
    worker: Worker, path: str, body: object, key: str | None = None, **headers: str
) -> httpx.Response:
    named = {} if key is None else {"Idempotency-Key": key}
    return await worker.client.post(path, json=body, headers={**named, **headers})


async def test_an_activation_sent_again_at_another_worker_is_the_same(ledger: LocalLedger) -> None:
    one, other = await ledger.worker(), await ledger.worker()
    license_ = (await one.vendor.issue(maxMachines=3))["id"]
    body = machine_body(license_, "f", name="n")
    answers = [await post(each, "/v1/machines", body, "key") for each in (one, other, one)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["ledger-position"] for answer in answers}) == 1
    assert (await one.vendor.license(license_))["attributes"]["seats"]["used"] == 1


async def test_its_answer_stays_the_same_when_the_machine_is_gone(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    body = machine_body(license_, "f")
    first = await post(worker, "/v1/machines", body, "key")
    assert (await worker.client.delete("/v1/machines/f")).status_code == 204
    again = await post(worker, "/v1/machines", body, "key")
    assert again.status_code == 201
    assert again.content == first.content
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 0


async def test_a_refusal_stays_a_refusal(worker: Worker) -> None:
    license_ = (await worker.vendor.issue(maxMachines=1))["id"]
    await worker.vendor.activate(license_, "first")
    body = machine_body(license_, "second")
    refused = await post(worker, "/v1/machines", body, "key")
    assert refused.status_code == 422
    assert (await worker.client.delete("/v1/machines/first")).status_code == 204
    again = await post(worker, "/v1/machines", body, "key")
    assert again.json()["errors"] == refused.json()["errors"]
    assert (await post(worker, "/v1/machines", body, "another key")).status_code == 201
    attributes = (await worker.vendor.license(license_))["attributes"]
    assert attributes["refusals"] == {"machine-limit-exceeded": 1}


async def test_a_license_issued_twice_at_once_without_a_key_is_one(ledger: LocalLedger) -> None:
    workers = [await ledger.worker(), await ledger.worker()]
    body = license_body(workers[0].catalog.policy, name="n", metadata={"b": 1, "a": 2})
    answers = await asyncio.gather(
        *(post(worker, "/v1/licenses", body, "key") for worker in workers * 4)
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    key = answers[0].json()["data"]["attributes"]["key"]
    assert key.startswith("LIC-")
    read = await workers[0].client.get(f"/v1/licenses/{key}")
    assert read.json()["data"]["attributes"]["key"] == key


async def test_two_idempotency_keys_make_two_licenses(worker: Worker) -> None:
    body = license_body(worker.catalog.policy)
    one = await post(worker, "/v1/licenses", body, "one")
    other = await post(worker, "/v1/licenses", body, "other")
    assert one.json()["data"]["id"] != other.json()["data"]["id"]


async def test_another_request_under_the_same_key_is_a_mismatch(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    assert (await post(worker, "/v1/machines", machine_body(license_, "f"), "key")).is_success
    for other in (
        machine_body(license_, "g"),
        machine_body(license_, "f", seats=2),
        machine_body(license_, "f", hostname="h"),
    ):
        answer = await post(worker, "/v1/machines", other, "key")
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["code"] == "IDEMPOTENCY_MISMATCH"
        assert error["source"] == {"header": "Idempotency-Key"}
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 1


async def test_an_issue_under_the_same_key_with_other_words_is_a_mismatch(worker: Worker) -> None:
    policy = worker.catalog.policy
    assert (await post(worker, "/v1/licenses", license_body(policy), "key")).is_success
    answer = await post(worker, "/v1/licenses", license_body(policy, name="n"), "key")
    assert answer.json()["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"


async def test_the_same_request_in_another_order_is_the_same(worker: Worker) -> None:
    policy = worker.catalog.policy
    one = license_body(policy, key="a given key", metadata={"a": {"x": 1, "y": 2}, "b": 3})
    other = license_body(policy, metadata={"b": 3, "a": {"y": 2, "x": 1}}, key="a given key")
    first = await post(worker, "/v1/licenses", one, "key")
    again = await post(worker, "/v1/licenses", other, "key")
    assert again.status_code == 201
    assert again.content == first.content


async def test_a_deactivation_sent_twice_at_once_is_done_once(worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    machine = (await worker.vendor.activate(license_, "f")).json()["data"]["id"]
    headers = {"Idempotency-Key": "key"}
    answers = await asyncio.gather(
        *(worker.client.delete(f"/v1/machines/{machine}", headers=headers) for _ in range(3))
    )
    assert {answer.status_code for answer in answers} == {204}
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 0


async def test_an_unknown_outcome_is_settled_by_repeating(
    ledger: LocalLedger, worker: Worker
) -> None:
    license_ = (await worker.vendor.issue())["id"]
    ledger.log.lose_acknowledgements = 1
    body = machine_body(license_, "f")
    unknown = await post(worker, "/v1/machines", body, "key")
    assert unknown.status_code == 503
    assert unknown.json()["meta"]["outcome"] == "unknown"
    assert unknown.headers["retry-after"] == "1"
    again = await post(worker, "/v1/machines", body, "key")
    assert again.status_code == 201
    assert (await worker.vendor.license(license_))["attributes"]["seats"]["used"] == 1


async def test_the_trace_goes_along_and_only_a_well_formed_one(
    ledger: LocalLedger, worker: Worker
) -> None:
    good = f"00-{'4b' * 16}-{'7a' * 8}-01"
    for trace, sent in ((good, good), (f"00-{'0' * 32}-{'7a' * 8}-01", None), ("x", None)):
        body = license_body(worker.catalog.policy)
        answer = await post(worker, "/v1/licenses", body, traceparent=trace)
        partition, offset = map(int, answer.headers["ledger-position"].split(":")[1].split("."))
        batches = ledger.log.read(Topic.LICENSE_EVENTS, partition, start=offset, stop=offset + 1)
        [record] = [record async for batch in batches for record in batch]
        headers = dict(record.headers)
        assert headers.get("traceparent") == (None if sent is None else sent.encode())
        assert headers["content-type"].startswith(b"application/cloudevents+json")
        assert json.loads(record.value or b"")["type"] == "license.issued"


async def test_a_transfer_is_repeated_though_the_policy_changed_meanwhile(worker: Worker) -> None:
    related = {"product": ("products", worker.catalog.product)}
    body = resource_body("policies", {"name": "other", "floating": True}, **related)
    policy = (await worker.client.post("/v1/policies", json=body)).json()["data"]["id"]
    license_ = (await worker.vendor.issue())["id"]
    path, headers = f"/v1/licenses/{license_}/policy", {"Idempotency-Key": "moved"}
    linked = {"data": {"type": "policies", "id": policy}}
    first = await worker.client.put(path, json=linked, headers=headers)
    change = resource_body("policies", {"maxMachines": 9})
    assert (await worker.client.patch(f"/v1/policies/{policy}", json=change)).status_code == 200
    again = await worker.client.put(path, json=linked, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.headers["ledger-position"] == again.headers["ledger-position"]
