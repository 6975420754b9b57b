"""Who may ask, how a request has to look, and what every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from api.app import ROUTES
from api.bodies import BODY_BYTES_MAX
from api.gate import HEADER_BYTES_MAX
from api.routes.accounts import ACCOUNT_ROUTES
from api.routes.endpoint import PREFIXES
from tests.api.conftest import TOKEN, LocalLedger, Worker
from tests.vendor import license_body, machine_body

LICENSE = "0b7e5a3c-1111-4222-8333-444455556666"
BY_KEY = "/v1/licenses/actions/validate-key"
CHECK = {"meta": {"key": "nobody's"}}
PROTECTED = [
    ("POST", "/v1/licenses"),
    ("GET", "/v1/licenses/x"),
    ("POST", "/v1/licenses/x/actions/validate"),
    ("POST", "/v1/machines"),
    ("DELETE", "/v1/machines/x"),
]


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/vnd.api+json"
    document = answer.json()
    assert document["meta"]["id"] == answer.headers["x-request-id"]
    [error] = document["errors"]
    assert {"title", "detail", "code"} <= set(error)
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize(("method", "path"), PROTECTED)
@pytest.mark.parametrize("prefix", ["/v1", "/v1/accounts/demo"])
async def test_all_but_a_check_by_key_needs_a_token(
    worker: Worker, method: str, path: str, prefix: str
) -> None:
    answer = await worker.stranger.request(method, path.replace("/v1", prefix, 1))
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (401, "TOKEN_MISSING")
    assert error["title"] == "Unauthorized"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        ("Bearer wrong", 401, "TOKEN_INVALID"),
        (f"Bearer {TOKEN}x", 401, "TOKEN_INVALID"),
        ("Bearer", 401, "TOKEN_INVALID"),
        ("", 401, "TOKEN_INVALID"),
        ("Basic bGljZW5zZTprZXk=", 401, "LICENSE_INVALID"),  # license:key
        ("Basic dG9rZW46eA==", 401, "TOKEN_INVALID"),  # token:x
        ("Basic eDo=", 401, "TOKEN_INVALID"),  # x:
        ("Basic eDp5", 401, "TOKEN_INVALID"),  # x:y
        ("Basic nonsense", 401, "TOKEN_INVALID"),
        (f"Bearer {LICENSE}", 401, "TOKEN_FORMAT_INVALID"),
        (f"Token {LICENSE.upper()}", 401, "TOKEN_FORMAT_INVALID"),
        ("License some-license-key", 401, "LICENSE_INVALID"),
    ],
)
async def test_a_bad_credential_fails_everywhere(
    worker: Worker, authorization: str, status: int, code: str
) -> None:
    headers = {"Authorization": authorization}
    for method, path in [*PROTECTED, ("POST", BY_KEY)]:
        answer = await worker.stranger.request(method, path, headers=headers, json=CHECK)
        assert (answer.status_code, error_of(answer)["code"]) == (status, code)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", " Bearer "])
async def test_a_good_token_is_good_in_each_spelling(worker: Worker, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    answer = await worker.stranger.post(BY_KEY, json=CHECK, headers=headers)
    assert answer.status_code == 200


async def test_every_token_that_is_set_is_taken(ledger: LocalLedger) -> None:
    other = "6b51d431df5d7f141cbececcf79edf3dd861c3b4069f0b11661a3eefacbba918"  # of "12"
    both = f"{other},{ledger.environment()['LEDGER_API_TOKEN_DIGESTS']}"
    worker = await ledger.worker(LEDGER_API_TOKEN_DIGESTS=both)
    for token in ("12", TOKEN):
        headers = {"Authorization": f"Bearer {token}"}
        answer = await worker.stranger.get("/v1/licenses/x", headers=headers)
        assert answer.status_code == 404


async def test_an_unknown_account_is_not_found(worker: Worker) -> None:
    for account in ("other", LICENSE, "demo%2Fx"):
        answer = await worker.client.post(
            f"/v1/accounts/{account}/licenses/actions/validate-key", json=CHECK
        )
        assert (answer.status_code, error_of(answer)["code"]) == (404, "NOT_FOUND")
        assert "account" in error_of(answer)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "NOT_FOUND"),
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "//v1/licenses/x", 404, "NOT_FOUND"),
        ("PUT", "/v1/licenses/x", 405, "METHOD_NOT_ALLOWED"),
        ("GET", BY_KEY, 405, "METHOD_NOT_ALLOWED"),
        ("BREW", "/v1/licenses", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_is_no_route_is_told_in_json(
    worker: Worker, method: str, path: str, status: int, code: str
) -> None:
    answer = await worker.client.request(method, f"http://ledger.test{path}")
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


async def test_a_request_id_is_taken_or_made(worker: Worker) -> None:
    given = await worker.stranger.post(BY_KEY, json=CHECK, headers={"X-Request-Id": "my-request.1"})
    assert given.headers["x-request-id"] == "my-request.1"
    made = await worker.stranger.post(BY_KEY, json=CHECK, headers={"X-Request-Id": "no good\x7f"})
    assert len(made.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("version", "status", "told"),
    [("1.7", 200, "1.7"), ("v1.8", 200, "1.8"), (None, 200, "1.8"), ("1.6", 400, "1.8")],
)
async def test_the_version_of_the_contract(
    worker: Worker, version: str | None, status: int, told: str
) -> None:
    headers = {} if version is None else {"Keygen-Version": version}
    answer = await worker.stranger.post(BY_KEY, json=CHECK, headers=headers)
    assert (answer.status_code, answer.headers["keygen-version"]) == (status, told)
    if status == 400:
        error = error_of(answer)
        assert error["code"] == "INVALID_API_VERSION"
        assert error["source"] == {"header": "Keygen-Version"}


async def test_environments_are_not_supported(worker: Worker) -> None:
    headers = {"Keygen-Environment": "sandbox"}
    answer = await worker.stranger.post(BY_KEY, json=CHECK, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "ENVIRONMENT_NOT_SUPPORTED")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/vnd.api+json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        (None, 200),
        ("application/x-www-form-urlencoded", 400),
        ("text/plain", 400),
    ],
)
async def test_the_type_of_a_body(worker: Worker, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await worker.stranger.post(BY_KEY, content=b'{"meta":{"key":"x"}}', headers=headers)
    assert answer.status_code == status
    if status == 400:
        assert error_of(answer)["code"] == "MIME_TYPE_INVALID"


async def test_a_body_has_a_limit_declared_or_not(worker: Worker) -> None:
    large = b" " * (BODY_BYTES_MAX + 1)
    declared = await worker.stranger.post(BY_KEY, content=large)
    assert (declared.status_code, error_of(declared)["code"]) == (413, "BODY_TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b" " * 8192

    chunked = await worker.stranger.post(BY_KEY, content=chunks())
    assert (chunked.status_code, error_of(chunked)["code"]) == (413, "BODY_TOO_LARGE")
    fits = b'{"meta":{"key":"x"}}'.ljust(BODY_BYTES_MAX)
    assert (await worker.stranger.post(BY_KEY, content=fits)).status_code == 200


async def test_headers_and_path_have_a_limit(worker: Worker) -> None:
    headers = {"X-Long": "x" * HEADER_BYTES_MAX}
    answer = await worker.stranger.post(BY_KEY, json=CHECK, headers=headers)
    assert (answer.status_code, error_of(answer)["code"]) == (431, "HEADERS_TOO_LARGE")
    answer = await worker.client.get("/v1/licenses/" + "x" * HEADER_BYTES_MAX)
    assert answer.status_code == 431


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "tab\there", "ümlaut"])
async def test_an_idempotency_key_has_a_form(worker: Worker, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    answer = await worker.client.post("/v1/licenses", json=CHECK, headers=headers)
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert error["source"] == {"header": "Idempotency-Key"}


async def test_too_many_at_once_are_shed_writes_before_checks(ledger: LocalLedger) -> None:
    worker = await ledger.worker(LEDGER_API_WRITES_MAX="2", LEDGER_API_REQUESTS_MAX="4")
    license_ = (await worker.vendor.issue())["id"]
    for follower in ledger.followers:
        follower.still = True
    writing = [
        asyncio.create_task(
            worker.client.post("/v1/machines", json=machine_body(license_, f"f{number}"))
        )
        for number in range(3)
    ]
    done, _ = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
    shed = done.pop().result()
    assert (shed.status_code, error_of(shed)["code"]) == (429, "TOO_MANY_REQUESTS")
    assert 1 <= int(shed.headers["retry-after"]) <= 4
    assert (await worker.stranger.post(BY_KEY, json=CHECK)).status_code == 200
    more = await asyncio.gather(*(worker.stranger.post(BY_KEY, json=CHECK) for _ in range(20)))
    assert {answer.status_code for answer in more} <= {200, 429}
    assert 429 in {answer.status_code for answer in more}
    assert (await worker.stranger.get("/health/live")).status_code == 200
    for answer in await asyncio.gather(*writing):
        assert answer.status_code in {429, 503}


async def test_the_openapi_document_has_all_routes_and_bodies(worker: Worker) -> None:
    document = (await worker.stranger.get("/openapi.json")).json()
    documented = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    both = {(route.method, prefix + route.path) for route in ROUTES for prefix in PREFIXES}
    assert documented == both | {(route.method, route.path) for route in ACCOUNT_ROUTES}
    body = document["paths"]["/v1/machines"]["post"]["requestBody"]["content"]
    reference = body["application/vnd.api+json"]["schema"]["$ref"]
    assert reference.rpartition("/")[2] in document["components"]["schemas"]


async def test_a_mistake_of_ours_is_told_without_its_text(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret value")

    monkeypatch.setattr(type(worker.services.finder), "id_of_key", broken)
    answer = await worker.stranger.post(BY_KEY, json=CHECK)
    assert (answer.status_code, error_of(answer)["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    [record] = [record for record in caplog.records if record.message == "a request failed"]
    assert "secret" not in str(record.__dict__)
    assert record.__dict__["fields"]["error"] == "RuntimeError"
    page = (await worker.stranger.get("/metrics")).text
    assert 'ledger_api_errors_total{error="RuntimeError"} 1.0' in page


async def test_a_client_that_goes_away_while_it_sends_is_no_error_of_ours(worker: Worker) -> None:
    sent: list[Message] = []
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": BY_KEY,
        "raw_path": BY_KEY.encode(),
        "query_string": b"",
        "headers": [],
    }
    await worker.app(scope, receive, send)
    assert sent[0]["status"] == 499
    worker.lines.flush()
    assert '"status":499' in worker.access_log.getvalue()
    assert "ledger_api_errors_total{" not in worker.services.metrics.page().decode()


async def test_a_license_needs_the_one_policy(worker: Worker) -> None:
    answer = await worker.client.post("/v1/licenses", json=license_body(LICENSE))
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (422, "POLICY_NOT_FOUND")
    assert error["source"] == {"pointer": "/data/relationships/policy"}
