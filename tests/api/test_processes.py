"""Whole workers as processes, with Kafka, Redis and projectors."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from tests.api.ordering import until
from tests.ports import free_ports
from tests.servers import ROOT
from tests.system import System, running
from tests.vendor import Vendor, machine_body, settled

BY_KEY = "/v1/licenses/actions/validate-key"
ANSWERED_S = 10.0
"""Ten times the limit: that there is an answer is judged, not how quick it is."""
EXIT_S = 60.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("system"), workers=1) as started:
        yield started


def run(environment: Mapping[str, str]) -> tuple[int, list[dict[str, Any]]]:
    """Run a worker that ends by itself; its exit code and its log."""
    kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    ended = subprocess.run(
        [sys.executable, "-m", "api"],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=EXIT_S,
        check=False,
    )
    return ended.returncode, [json.loads(line) for line in ended.stderr.splitlines()]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEDGER_PEPPER", "cd" * 32, "LEDGER_PEPPER"),
        ("LEDGER_PARTITIONS", "8", "LEDGER_PARTITIONS"),
        ("LEDGER_KAFKA", "127.0.0.1:1", None),
        ("LEDGER_API_TOKEN_DIGESTS", "", "LEDGER_API_TOKEN_DIGESTS"),
        ("LEDGER_SEAL_KEYS", "", "LEDGER_SEAL_KEYS"),
    ],
)
def test_a_worker_that_is_told_something_wrong_refuses_to_start(
    system: System, name: str, value: str, said: str | None
) -> None:
    (port,) = free_ports(1)
    environment = {**system.env, "LEDGER_API_OWN_PORT": str(port), name: value}
    if said is None:
        # With the log away the replicas tell whose ledger it is, and with which pepper.
        environment["LEDGER_PEPPER"] = "cd" * 32
        said = "LEDGER_PEPPER"
    code, lines = run(environment)
    assert code == 2
    assert said in lines[-1]["text"]
    assert "cd" * 32 not in json.dumps(lines)


async def test_a_frozen_broker_is_answered_503_and_settled_after_the_thaw(system: System) -> None:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        license_ = await vendor.issue(maxMachines=9)
        assert (await vendor.activate(license_["id"], "before")).status_code == 201
        body = machine_body(license_["id"], "meanwhile")
        headers = {"Idempotency-Key": "meanwhile"}
        system.kafka.freeze()
        try:
            started = time.monotonic()
            answer = await client.post("/v1/machines", json=body, headers=headers)
            assert time.monotonic() - started < ANSWERED_S
            assert answer.status_code == 503
            assert answer.json()["meta"]["outcome"] in {"unknown", "refused"}
            assert answer.headers["retry-after"] == "1"
            for _ in range(20):
                meta = (await vendor.check(license_["attributes"]["key"], fingerprint="before"))[
                    "meta"
                ]
                assert meta["code"] == "VALID"
        finally:
            system.kafka.thaw()
        settled_answer = await settled([client], "/v1/machines", body, key="meanwhile")
        assert settled_answer.status_code == 201
        seats = (await vendor.license(license_["id"]))["attributes"]["seats"]
        assert seats["used"] == 2


async def test_that_morning(system: System) -> None:
    """The log is gone and the worker starts anew: checks are answered, writes come back with it."""
    worker = system.workers[0]
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        license_ = await vendor.issue()
        assert (await vendor.activate(license_["id"], "f")).status_code == 201
    await asyncio.to_thread(system.kafka.kill)
    await asyncio.to_thread(worker.restart)
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        meta = (await vendor.check(license_["attributes"]["key"], fingerprint="f"))["meta"]
        assert meta["code"] == "VALID"
        read = await vendor.license(license_["id"])
        assert read["attributes"]["key"] == license_["attributes"]["key"]
        ready = (await client.get("/health/ready")).json()
        assert (ready["checks"], ready["writes"]) == (True, False)
        body = machine_body(license_["id"], "g")
        answer = await client.post("/v1/machines", json=body, headers={"Idempotency-Key": "g"})
        assert answer.status_code == 503
        assert answer.json()["meta"]["outcome"] == "refused"
        await asyncio.to_thread(system.kafka.start)
        assert (await settled([client], "/v1/machines", body, key="g")).status_code == 201


async def test_a_worker_ends_in_order_and_finishes_what_it_has_begun(system: System) -> None:
    worker = system.workers[0]
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        license_ = await vendor.issue()
        for projector in system.projectors:
            projector.freeze()
        body = machine_body(license_["id"], "f")
        asked = asyncio.create_task(client.post("/v1/machines", json=body))
        await until(lambda: _waiting(worker.url), what="a verdict that is waited for")
        os.kill(worker.pid, signal.SIGTERM)
        for projector in system.projectors:
            projector.thaw()
        assert (await asked).status_code == 201
        await until(lambda: not worker.running, what="the worker's end")
        assert worker._process is not None  # noqa: SLF001 - what it ended with
        assert worker._process.returncode == 0  # noqa: SLF001 - the same
    await asyncio.to_thread(worker.stop)
    await asyncio.to_thread(worker.start)


async def _waiting(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        page = (await client.get(f"{url}/metrics")).text
    return "ledger_api_verdicts_waiting 1.0" in page


def test_workers_share_a_socket_that_was_handed_over(system: System) -> None:
    (own,) = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as shared:
        port = shared.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
        worker = subprocess.Popen(
            [sys.executable, "-m", "api"],
            stdin=shared.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **kept,
                "PYTHONPATH": str(ROOT),
                **system.env,
                "LEDGER_API_SHARED_FD": "0",
                "LEDGER_API_OWN_PORT": str(own),
            },
        )
        try:
            for at in (port, own):
                answer = httpx.get(f"http://127.0.0.1:{at}/health/live", timeout=EXIT_S)
                assert answer.json() == {"status": "live"}
        finally:
            worker.terminate()
            assert worker.wait(EXIT_S) == 0


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000,
        b"GET /" + b"x" * 100_000,
    ],
)
def test_what_is_no_request_is_told_in_json_and_ended(system: System, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", system.workers[0].port), ANSWERED_S) as connection:
        connection.sendall(head)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 400 ")
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert body["errors"][0]["code"] == "REQUEST_INVALID"


def test_an_answer_is_no_more_than_it_must_be(system: System) -> None:
    answer = httpx.post(system.workers[0].url + BY_KEY, json={"meta": {"key": "nobody's"}})
    assert set(answer.headers) == {
        "date",
        "content-length",
        "content-type",
        "x-request-id",
        "keygen-version",
    }
