"""Who asks too often waits; who guesses keys learns nothing, and stops nobody else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.api.conftest import TOKEN, LocalLedger, Worker

BY_KEY = "/v1/licenses/actions/validate-key"
FAR, OTHER, PROXY = "203.0.113.7", "198.51.100.9", "192.0.2.1"
GOOD = {"Authorization": f"Bearer {TOKEN}"}
Connect = Callable[..., httpx.AsyncClient]


@pytest.fixture(autouse=True)
def _one_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.throttle._now_s", lambda: 1_800_000_017.5)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Client of a worker, at an address."""
    async with AsyncExitStack() as stack:

        def client(worker: Worker, address: str = FAR) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app=worker.app, client=(address, 4711))
            made = httpx.AsyncClient(transport=transport, base_url="http://ledger.test")
            stack.push_async_callback(made.aclose)
            return made

        yield client


async def check(client: httpx.AsyncClient, key: str, **headers: str) -> httpx.Response:
    return await client.post(BY_KEY, json={"meta": {"key": key}}, headers=headers)


async def guess(client: httpx.AsyncClient, number: int, **headers: str) -> None:
    for count in range(number):
        answer = await check(client, f"guess {count}", **headers)
        assert answer.json()["meta"]["code"] == "NOT_FOUND"


def key_of(license_: dict[str, Any]) -> str:
    key: str = license_["attributes"]["key"]
    return key


def refused(answer: httpx.Response, limit: int) -> bool:
    if answer.status_code != 429:
        return False
    [error] = answer.json()["errors"]
    assert error["code"] == "TOO_MANY_REQUESTS"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-ratelimit-window"] == "1m"
    assert answer.headers["x-ratelimit-limit"] == str(limit)
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert int(answer.headers["x-ratelimit-count"]) >= limit
    assert int(answer.headers["x-ratelimit-reset"]) % 60 == 0
    for address in (FAR, OTHER, PROXY):
        assert address not in answer.text
    return True


async def figure(worker: Worker, what: str) -> float:
    page = (await worker.stranger.get("/metrics")).text
    name = f'ledger_api_throttled_total{{what="{what}"}} '
    return sum(float(line[len(name) :]) for line in page.split("\n") if line.startswith(name))


async def test_a_principal_has_a_number_of_requests_a_minute(
    ledger: LocalLedger, connect: Connect
) -> None:
    worker = await ledger.worker(LEDGER_API_TOKEN_PER_MINUTE="3")
    client, elsewhere = connect(worker), connect(worker, OTHER)
    answers = [await check(each, "k", **GOOD) for each in (client, elsewhere, client, client)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refused(answers[-1], 3)
    assert refused(await elsewhere.get("/v1/me", headers=GOOD), 3)
    assert (await check(client, "k")).status_code == 200
    assert await figure(worker, "token") == 2


async def test_an_address_has_a_number_of_requests_a_minute_if_that_is_set(
    ledger: LocalLedger, connect: Connect
) -> None:
    worker = await ledger.worker(LEDGER_API_ADDRESS_PER_MINUTE="2")
    client = connect(worker)
    assert (await client.get("/v1/nowhere")).status_code == 404
    assert (await check(client, "k", **GOOD)).status_code == 200
    assert refused(await check(client, "k", **GOOD), 2)
    assert (await client.get("/health/live")).status_code == 200
    assert (await check(connect(worker, OTHER), "k", **GOOD)).status_code == 200
    assert await figure(worker, "address") == 1


async def test_by_default_no_number_of_good_requests_from_an_address_is_too_many(
    worker: Worker, issued: dict[str, Any], connect: Connect
) -> None:
    client = connect(worker)
    for _ in range(400):
        assert (await check(client, key_of(issued))).status_code == 200


async def test_who_guesses_keys_is_told_nothing_not_even_of_a_good_one(
    ledger: LocalLedger, connect: Connect
) -> None:
    worker = await ledger.worker(LEDGER_API_FAILURES_PER_MINUTE="3")
    license_ = await worker.vendor.issue()
    client, key = connect(worker), key_of(license_)
    await guess(client, 2)
    assert (await check(client, key)).json()["meta"]["code"] == "VALID"
    await guess(client, 1)
    bad, good = await check(client, "another"), await check(client, key)
    assert refused(bad, 3)
    assert refused(good, 3)
    assert bad.json()["errors"] == good.json()["errors"]
    for credential in (f"License {key}", "License another", "Bearer wrong", "nonsense"):
        assert refused(await client.get("/v1/me", headers={"Authorization": credential}), 3)
    assert refused(await client.get("/v1/me", params={"auth": f"license:{key}"}), 3)
    assert refused(await client.get("/v1/me"), 3)
    assert await figure(worker, "guessing") == 8


async def test_who_has_a_good_token_is_answered_beside_one_who_guesses(
    ledger: LocalLedger, connect: Connect
) -> None:
    worker = await ledger.worker(LEDGER_API_FAILURES_PER_MINUTE="3")
    license_ = await worker.vendor.issue()
    client = connect(worker)
    await guess(client, 3)
    assert (await check(client, key_of(license_), **GOOD)).json()["meta"]["code"] == "VALID"
    assert (await client.get(f"/v1/licenses/{license_['id']}", headers=GOOD)).status_code == 200
    answer = await check(connect(worker, OTHER), key_of(license_))
    assert answer.json()["meta"]["code"] == "VALID"


async def test_who_has_a_good_token_guesses_nothing(ledger: LocalLedger, connect: Connect) -> None:
    worker = await ledger.worker(LEDGER_API_FAILURES_PER_MINUTE="3")
    client = connect(worker)
    await guess(client, 10, **GOOD)
    assert (await check(client, "k")).status_code == 200


async def test_bad_credentials_are_guesses(ledger: LocalLedger, connect: Connect) -> None:
    worker = await ledger.worker(LEDGER_API_FAILURES_PER_MINUTE="3")
    client = connect(worker)
    for credential in ("License guess", "Bearer guess", "nonsense"):
        answer = await client.get("/v1/me", headers={"Authorization": credential})
        assert answer.status_code == 401
    assert refused(await check(client, "k"), 3)


async def test_behind_a_proxy_that_is_named_only_who_guesses_waits(
    ledger: LocalLedger, connect: Connect
) -> None:
    worker = await ledger.worker(
        LEDGER_API_FAILURES_PER_MINUTE="3", LEDGER_API_PROXIES=f"10.0.0.0/8,{PROXY}"
    )
    client = connect(worker, PROXY)
    behind = {"X-Forwarded-For": FAR}
    await guess(client, 3, **behind)
    assert refused(await check(client, "k", **behind), 3)
    assert refused(await check(client, "k", **{"X-Forwarded-For": f"{OTHER}, {FAR}"}), 3)
    assert (await check(client, "k", **{"X-Forwarded-For": OTHER})).status_code == 200
    assert (await check(client, "k")).status_code == 200
    itself = connect(worker, FAR)
    assert refused(await check(itself, "k", **{"X-Forwarded-For": OTHER}), 3)


@pytest.mark.parametrize("near", ["127.0.0.1", "10.9.8.7", "fd00::7"])
async def test_a_proxy_that_nobody_has_named_is_never_kept_out(
    ledger: LocalLedger, connect: Connect, caplog: pytest.LogCaptureFixture, near: str
) -> None:
    worker = await ledger.worker(LEDGER_API_FAILURES_PER_MINUTE="3")
    with caplog.at_level(logging.WARNING, logger="api.throttle"):
        await guess(connect(worker, near), 10)
    [record] = [each for each in caplog.records if each.name == "api.throttle"]
    assert "LEDGER_API_PROXIES" in record.getMessage()
    assert near not in str(record.__dict__)
    assert await figure(worker, "guessing") == 0


async def test_the_next_minute_begins_anew(
    ledger: LocalLedger, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await ledger.worker(
        LEDGER_API_FAILURES_PER_MINUTE="1", LEDGER_API_TOKEN_PER_MINUTE="1"
    )
    client = connect(worker)
    await guess(client, 1)
    assert (await check(client, "k", **GOOD)).status_code == 200
    for headers in ({}, GOOD):
        answer = await check(client, "k", **headers)
        assert refused(answer, 1)
        assert answer.headers["retry-after"] == "43"
    monkeypatch.setattr("api.throttle._now_s", lambda: 1_800_000_060.0)
    for headers in (GOOD, {}):
        assert (await check(client, "k", **headers)).status_code == 200


async def test_each_worker_counts_for_itself(ledger: LocalLedger, connect: Connect) -> None:
    workers = [await ledger.worker(LEDGER_API_TOKEN_PER_MINUTE="2") for _ in range(2)]
    for worker in workers:
        client = connect(worker)
        answers = [await client.get("/v1/me", headers=GOOD) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert refused(answers[2], 2)
        assert "this worker" in answers[2].json()["errors"][0]["detail"]
