"""What a worker tells of itself."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from projector.read_model.keys import CATALOG, Keys
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import until
from tests.servers import RedisServer


async def figures(worker: Worker) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    page = (await worker.stranger.get("/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


async def test_live_and_ready(worker: Worker) -> None:
    live = await worker.stranger.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "live"})

    async def all_is_well() -> bool:
        told = (await worker.stranger.get("/health/ready")).json()
        return bool(told["degraded"] == [] and told["writes"] and told["checks"])

    await until(all_is_well, what="nothing degraded")
    ready = (await worker.stranger.get("/health/ready")).json()
    assert ready["ledger"] == worker.catalog.ledger
    assert [each["name"] for each in ready["replicas"]] == ["A", "B"]
    assert all(each["inService"] == each["partitions"] == 4 for each in ready["replicas"])


@pytest.mark.parametrize("path", ["/v1/ping", "/v1/accounts/demo/ping"])
async def test_a_ping_needs_no_credential_and_tells_the_version(worker: Worker, path: str) -> None:
    answer = await worker.stranger.get(path, headers={"Accept": "application/vnd.api+json"})
    assert (answer.status_code, answer.text) == (200, "pong")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["keygen-version"] == "1.8"


async def test_a_ping_of_no_account_is_not_found(worker: Worker) -> None:
    answer = await worker.stranger.get("/v1/accounts/nobody/ping")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND")


async def test_what_is_degraded_is_told(ledger: LocalLedger, worker: Worker) -> None:
    license_ = (await worker.vendor.issue())["id"]
    ledger.followers[0].still = True
    assert (await worker.vendor.activate(license_, "f")).status_code == 201
    told = (await worker.stranger.get("/health/ready")).json()
    assert told["checks"] is True
    assert told["degraded"] == ["replica A: not level in every partition"]


async def test_a_replica_without_the_catalog_is_told(
    redis_pair: list[RedisServer], ledger: LocalLedger, worker: Worker
) -> None:
    ledger.followers[0].still = True
    with Redis(port=redis_pair[0].port, socket_timeout=5) as client:
        client.delete(Keys(CATALOG).head)

    async def told() -> bool:
        ready = (await worker.stranger.get("/health/ready")).json()
        return bool(
            ready["checks"] and ready["degraded"] == ["replica A: not level in the catalog"]
        )

    await until(told, what="what the replica lacks")


async def test_requests_checks_and_verdicts_are_counted_under_templates(worker: Worker) -> None:
    issued = await worker.vendor.issue(maxMachines=1)
    await worker.vendor.activate(issued["id"], "f")
    await worker.vendor.activate(issued["id"], "g")
    await worker.vendor.check(issued["attributes"]["key"])
    await worker.client.get(f"/v1/accounts/demo/licenses/{issued['id']}")
    await worker.client.get("/v1/nothing")
    found = await figures(worker)
    requests = "ledger_api_requests_total"
    for route, method, status in (
        ("/v1/licenses", "POST", "201"),
        ("/v1/machines", "POST", "201"),
        ("/v1/machines", "POST", "422"),
        ("/v1/licenses/{id}", "GET", "200"),
        ("unmatched", "GET", "404"),
    ):
        assert found[requests, labels(route=route, method=method, status=status)] == 1
    verdicts = "ledger_api_verdicts_total"
    activation = "license.activation-requested"
    assert found[verdicts, labels(type=activation, code="granted")] == 1
    assert found[verdicts, labels(type=activation, code="machine-limit-exceeded")] == 1
    assert found["ledger_api_append_seconds_count", frozenset()] == 3
    assert found["ledger_api_verdict_seconds_count", frozenset()] == 3
    checks = [value for (name, _), value in found.items() if name == "ledger_api_checks_total"]
    assert sum(checks) == 1
    assert found["ledger_api_replica_reachable", labels(replica="A")] == 1
    assert not any(issued["id"] in value for _, named in found for _, value in named)


async def test_a_line_a_request_with_its_template(worker: Worker) -> None:
    issued = await worker.vendor.issue()
    await worker.client.get(f"/v1/licenses/{issued['id']}", headers={"X-Request-Id": "request-1"})
    await worker.stranger.get("/health/live")
    worker.lines.flush()
    lines = [json.loads(line) for line in worker.access_log.getvalue().splitlines()]
    assert [line["route"] for line in lines] == ["/v1/licenses", "/v1/licenses/{id}"]
    assert lines[1]["request_id"] == "request-1"
    assert (lines[1]["method"], lines[1]["status"]) == ("GET", 200)
    assert lines[1]["ms"] >= 0
    assert set(lines[1]) == {"at", "route", "method", "status", "ms", "request_id"}
