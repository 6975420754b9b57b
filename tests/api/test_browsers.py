"""What browsers and probes ask besides: HEAD, OPTIONS, and pages of other origins."""

from __future__ import annotations

from typing import Any

import pytest

from api.app import FORMS
from tests.api.conftest import Worker

PAGE = "https://shop.example"
BY_KEY = "/v1/licenses/actions/validate-key"
GETS = [form.path for form in FORMS if form.route.method == "GET"]
VOLATILE = {"x-request-id", "ledger-age-ms", "ledger-source", "content-length"}
OTHERS = sorted({form.path for form in FORMS} - set(GETS))


def listed(value: str) -> set[str]:
    return {part.strip() for part in value.split(",")}


async def test_head_is_get_without_a_body(worker: Worker, issued: dict[str, Any]) -> None:
    for path in [*GETS, "/health/live", "/health/ready", "/openapi.json"]:
        named = path.replace("{account}", "demo").replace("{id}", issued["id"])
        got, head = await worker.client.get(named), await worker.client.head(named)
        assert head.status_code == got.status_code
        assert head.content == b""
        assert set(head.headers) == set(got.headers)
        for name in set(got.headers) - VOLATILE:
            assert head.headers[name] == got.headers[name]
        assert head.headers["content-length"] != "0"


async def test_a_head_is_logged_as_one(worker: Worker, issued: dict[str, Any]) -> None:
    assert (await worker.client.head(f"/v1/licenses/{issued['id']}")).status_code == 200
    worker.lines.flush()
    last = worker.access_log.getvalue().strip().rpartition("\n")[2]
    assert '"method":"HEAD"' in last
    assert '"route":"/v1/licenses/{id}"' in last


async def test_another_method_is_told_which_ones_there_are(worker: Worker) -> None:
    for path in OTHERS:
        named = path.replace("{account}", "demo").replace("{id}", "x")
        there = {form.route.method for form in FORMS if form.path == path} | {"OPTIONS"}
        for method in ("HEAD", "GET", "TRACE", "PROPFIND"):
            answer = await worker.client.request(method, named)
            assert answer.status_code == 405
            assert listed(answer.headers["allow"]) == there
            if method != "HEAD":
                [error] = answer.json()["errors"]
                assert (error["code"], error["title"]) == (
                    "METHOD_NOT_ALLOWED",
                    "Method not allowed",
                )
                assert answer.headers["allow"] in error["detail"]


async def test_options_needs_no_credential_and_tells_the_methods(worker: Worker) -> None:
    for path in {form.path for form in FORMS}:
        named = path.replace("{account}", "demo").replace("{id}", "a%2Fb")
        answer = await worker.stranger.options(named)
        assert (answer.status_code, answer.content) == (204, b"")
        there = {form.route.method for form in FORMS if form.path == path} | {"OPTIONS"}
        assert listed(answer.headers["allow"]) == there | ({"HEAD"} if "GET" in there else set())


async def test_options_of_nothing_is_not_found(worker: Worker) -> None:
    answer = await worker.stranger.options("/v1/nowhere")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND")


async def test_a_browser_that_asks_beforehand_may_send_what_clients_send(worker: Worker) -> None:
    answer = await worker.stranger.options(
        "/v1/machines",
        headers={
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
    )
    assert answer.status_code == 204
    headers = answer.headers
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    assert {"POST", "GET"} <= listed(headers["access-control-allow-methods"])
    assert {
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "Keygen-Version",
        "X-Request-Id",
    } <= listed(headers["access-control-allow-headers"])
    assert int(headers["access-control-max-age"]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [(BY_KEY, 200), ("/v1/me", 401), ("/v1/nowhere", 404), ("/v1/licenses", 400)],
)
async def test_a_page_may_read_every_answer_and_its_headers(
    worker: Worker, path: str, status: int
) -> None:
    headers = {"Origin": PAGE}
    if path == "/v1/me":
        answer = await worker.stranger.get(path, headers=headers)
    else:
        answer = await worker.client.post(path, json={"meta": {"key": "k"}}, headers=headers)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {
        "Ledger-Age-Ms",
        "Ledger-Position",
        "Ledger-Source",
        "Retry-After",
        "X-RateLimit-Count",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
        "X-RateLimit-Window",
        "X-Request-Id",
    } <= listed(answer.headers["access-control-expose-headers"])


async def test_who_is_no_page_is_told_nothing_of_pages(worker: Worker) -> None:
    answer = await worker.stranger.get("/health/live")
    assert not [name for name in answer.headers if name.startswith("access-control")]
