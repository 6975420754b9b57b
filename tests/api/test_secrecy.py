"""No secret is where it does not belong: logs, metrics, errors, the log of events, the replicas."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from api.logs import AccessLog, JsonFormatter
from ledger.event_log.port import Topic
from tests.api.conftest import TOKEN, LocalLedger, Worker
from tests.canary import Canary, Scanner
from tests.vendor import license_body, machine_body

SECRETS = {
    "key": "canary-license-key-7f3a",
    "fingerprint": "canary-fingerprint-91c2",
    "host": "canary-host.example",
    "ip": "203.0.113.77-canary",
    "name": "Canary Person's Machine",
    "token": TOKEN,
    "wrong token": "canary-wrong-token-55",
    "idempotency key": "canary-idempotency-1",
}


async def test_no_secret_is_in_logs_metrics_errors_kafka_or_redis(
    ledger: LocalLedger, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="api")
    answers = await _provoke(worker)
    scanner = Scanner(canaries=[Canary(what=what, text=text) for what, text in SECRETS.items()])
    worker.lines.flush()
    scanner.scan_text("access log", "access log", worker.access_log.getvalue())
    formatter = JsonFormatter()
    for record in caplog.records:
        if record.name.startswith("api"):
            scanner.scan_text("log", record.name, formatter.format(record))
    scanner.scan_text("log", "end", "end of the log")
    scanner.scan_text("metrics", "/metrics", (await worker.stranger.get("/metrics")).text)
    scanner.scan_text("health", "ready", (await worker.stranger.get("/health/ready")).text)
    for answer in answers:
        scanner.scan_text("errors", "an error", answer)
    for topic in Topic:
        for partition in await ledger.log.ends(topic):
            async for batch in ledger.log.read(topic, partition, start=0):
                for record_ in batch:
                    content = (record_.key or b"") + (record_.value or b"")
                    headers = b"".join(value for _, value in record_.headers)
                    scanner.scan("kafka", f"{topic} {record_.offset}", content + headers)
    for server in ledger.servers:
        await scanner.scan_redis(server.url)
    scanner.check("access log", "log", "metrics", "health", "errors", "kafka", "redis")


def test_what_a_library_quotes_of_an_exception_is_not_logged() -> None:
    formatter, secret = JsonFormatter(), SECRETS["fingerprint"]
    text = f"Task exception was never retrieved\nfuture: <Task exception={secret}>"
    record = logging.LogRecord("asyncio", logging.ERROR, "", 1, text, None, None)
    assert secret not in formatter.format(record)
    assert "never retrieved" in formatter.format(record)
    try:
        raise ValueError(secret)
    except ValueError:
        record = logging.LogRecord("api", logging.ERROR, "", 1, "failed", None, sys.exc_info())
    line = json.loads(formatter.format(record))
    assert line["error"] == "ValueError"
    assert "test_secrecy" in line["trace"][0]
    assert secret not in formatter.format(record)


def test_an_access_log_that_is_off_writes_nothing() -> None:
    stream = io.StringIO()
    log = AccessLog(enabled=False, stream=stream)
    log.line(route="/", method="GET", status=200, seconds=0.001, request_id="r")
    log.flush()
    assert stream.getvalue() == ""


async def _provoke(worker: Worker) -> list[str]:
    """Send every secret every way, well and badly; the bodies of all errors."""
    client, errors = worker.client, []
    key, fingerprint = SECRETS["key"], SECRETS["fingerprint"]
    repeated = {"Idempotency-Key": SECRETS["idempotency key"]}
    body = license_body(worker.catalog.policy, key=key)
    issued = await client.post("/v1/licenses", json=body, headers=repeated)
    assert issued.status_code == 201
    assert key in issued.text
    machine = machine_body(
        issued.json()["data"]["id"],
        fingerprint,
        hostname=SECRETS["host"],
        ip=SECRETS["ip"],
        name=SECRETS["name"],
    )
    repeated = {"Idempotency-Key": SECRETS["idempotency key"] + " again"}
    assert (await client.post("/v1/machines", json=machine, headers=repeated)).status_code == 201
    scope = {"key": key, "scope": {"fingerprint": fingerprint}}
    by_key = "/v1/licenses/actions/validate-key"
    assert fingerprint in (await worker.stranger.post(by_key, json={"meta": scope})).text
    many = "/v1/licenses/actions/validate-many"
    answer = await client.post(many, json={"meta": {"checks": [scope, {"key": key}]}})
    assert answer.status_code == 200
    errors.append(answer.text)
    assert (await client.get(f"/v1/licenses/{key}")).status_code == 200
    machine["data"]["attributes"]["seats"] = 2
    wrong = {"Authorization": f"Bearer {SECRETS['wrong token']}"}
    for answer in (
        await client.post("/v1/licenses", json=body),
        await client.post("/v1/machines", json=machine),
        await client.post("/v1/machines", json=machine, headers=repeated),
        await client.post("/v1/machines", json={"data": {**machine["data"], "type": fingerprint}}),
        await client.get(f"/v1/nothing/{key}"),
        await client.get(f"/v1/licenses/{fingerprint}"),
        await client.delete(f"/v1/machines/{key}"),
        await worker.stranger.get(f"/v1/licenses/{key}", headers=wrong),
        await client.get(f"/v1/accounts/{SECRETS['name']}/licenses/{key}"),
        await client.post(by_key, json={"meta": {**scope, "nonce": key}}),
        await client.post(many, json={"meta": {"checks": [{"key": [key]}]}}),
        await client.post(many, json={"meta": {"checks": [{"id": key}]}}),
    ):
        assert answer.is_client_error
        errors.append(answer.text)
    assert (await client.delete(f"/v1/machines/{fingerprint}")).status_code == 204
    return errors
