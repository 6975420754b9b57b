"""The API as commands ask it: found, asked with the right token only, and its refusals told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli import trouble
from cli.api import Api, ApiAway, ApiRefused, found
from cli.local import folder as folders
from cli.local.folder import data_folder
from cli.trouble import Missing
from cli.web import Answer

TOKEN = "admin-secret-of-a-test"


class _Server(BaseHTTPRequestHandler):
    """Gives the answers in their order, the last one for ever; keeps what it was asked."""

    answers: list[tuple[int, dict[str, str], dict[str, Any]]]
    asked: list[tuple[str, str, dict[str, str], Any]]

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.asked.append((self.command, self.path, dict(self.headers), body))
        status, headers, document = (
            self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        )
        content = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that the server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Server]]]:
    """An address, and what answers there."""
    handler = type("Answers", (_Server,), {"answers": [(200, {}, {})], "asked": []})
    http = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}", handler
    http.shutdown()
    thread.join()
    http.server_close()


def error(code: str, detail: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"errors": [{"code": code, "title": "T", "detail": detail, **more}]}


def test_it_asks_with_its_token_and_quotes_what_stands_in_the_path(
    server: tuple[str, type[_Server]],
) -> None:
    url, told = server
    told.answers = [(200, {}, {"data": {"id": "x"}})]
    assert Api(f"{url}/", TOKEN).get("licenses", "a/b ü?") == {"data": {"id": "x"}}
    [(method, path, headers, body)] = told.asked
    assert (method, path, body) == ("GET", "/v1/licenses/a%2Fb%20%C3%BC%3F", None)
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Idempotency-Key" not in headers


def test_a_write_is_repeated_as_it_is_told_under_one_idempotency_key(
    server: tuple[str, type[_Server]],
) -> None:
    url, told = server
    away = (503, {"Retry-After": "0"}, error("UNAVAILABLE", "Later."))
    told.answers = [away, away, (201, {}, {"data": {}})]
    api = Api(url, TOKEN)
    assert api.write("POST", "licenses", body={"data": {}}) == {"data": {}}
    assert len(told.asked) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers, _ in told.asked}) == 1
    api.write("DELETE", "machines", "m", idempotency_key="mine-4711")
    assert told.asked[-1][0] == "DELETE"
    assert told.asked[-1][2]["Idempotency-Key"] == "mine-4711"


def test_a_refusal_is_one_line_with_detail_and_place_and_is_1(
    server: tuple[str, type[_Server]],
) -> None:
    url, told = server
    source = {"pointer": "/data/attributes/key"}
    told.answers = [(422, {}, error("KEY_TAKEN", "There is one with that key.", source=source))]
    with pytest.raises(ApiRefused) as raised:
        Api(url, TOKEN).write("POST", "licenses", body={})
    assert str(raised.value) == "422 KEY_TAKEN: There is one with that key. [/data/attributes/key]"
    assert raised.value.status == 422
    assert trouble.exit_code(raised.value) == trouble.FAILED
    assert len(told.asked) == 1


def test_a_wrong_token_is_told_with_the_way_out_and_never_shown(
    server: tuple[str, type[_Server]],
) -> None:
    url, told = server
    told.answers = [(401, {}, error("TOKEN_INVALID", "The token is not known here."))]
    api = Api(url, TOKEN)
    with pytest.raises(ApiRefused, match="LEDGER_TOKEN") as raised:
        api.get("licenses", "x")
    assert TOKEN not in str(raised.value) + repr(api)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_cannot_answer_now_is_3_and_no_refusal(
    server: tuple[str, type[_Server]], status: int
) -> None:
    url, told = server
    told.answers = [(status, {"Retry-After": "0"}, error("LATER", "No replica is level."))]
    with pytest.raises(ApiAway, match="No replica is level") as raised:
        Api(url, TOKEN).get("licenses", "x")
    assert trouble.exit_code(raised.value) == trouble.UNAVAILABLE
    assert len(told.asked) == 3


def test_nobody_there_is_3_and_named() -> None:
    with pytest.raises(ApiAway, match=r"http://127\.0\.0\.1:1 doesn't answer") as raised:
        Api("http://127.0.0.1:1", TOKEN).get("licenses", "LIC-SECRET")
    assert trouble.exit_code(raised.value) == trouble.UNAVAILABLE
    assert "LIC-SECRET" not in str(raised.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_does_not_take_the_token_along(
    server: tuple[str, type[_Server]], status: int
) -> None:
    url, told = server
    told.answers = [(status, {"Location": f"{url}/elsewhere"}, {}), (200, {}, {})]
    with pytest.raises(ApiAway, match="elsewhere"):
        Api(url, TOKEN).get("licenses", "x")
    assert len(told.asked) == 1


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The data folder of a local run."""
    folder = data_folder(tmp_path / "data")
    folders.make(folder)
    folders.write_environment(folder, {"LEDGER_API_URL": "http://127.0.0.1:7100"})
    return folder.root


def test_the_local_run_is_found_with_its_token(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def send(*_: object, **more: object) -> Answer:
        sent.append(more["headers"])
        return Answer(status=200, document={})

    monkeypatch.setattr("cli.api.send", send)
    api = found(local, None, None)
    api.get("licenses")
    assert api.url == "http://127.0.0.1:7100"
    assert sent[0]["Authorization"] == f"Bearer {folders.read_token(data_folder(local))}"
    found(local, None, TOKEN).get("licenses")
    assert sent[1]["Authorization"] == f"Bearer {TOKEN}"


def test_the_local_token_goes_nowhere_else(local: Path) -> None:
    with pytest.raises(Missing, match="LEDGER_TOKEN"):
        found(local, "https://ledger.example.com", None)


@pytest.mark.parametrize("url", ["ledger.example.com", "ftp://x", "https://"])
def test_an_address_that_is_none_is_2(url: str, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="--url"):
        found(tmp_path, url, TOKEN)


def test_with_nothing_there_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="ledger up"):
        found(tmp_path / "none", None, TOKEN)
