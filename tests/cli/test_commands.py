"""The command line: help, usage, what is missing, exit codes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import trouble
from cli.local import folder as folders
from cli.local.folder import data_folder
from cli.local.lock import locked
from cli.main import app

runner = CliRunner()
COMMANDS = ("up", "status", "stop", "doctor", "check", "show", "tail", "import", "forget", "init")
GROUPS = ("license", "machine", "policy", "product", "entitlement", "token")
KEY = "LIC-SECRET-KEY"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No LEDGER_* of whoever runs the tests, and no data folder."""
    for name in ("LEDGER_KAFKA", "LEDGER_API_URL", "LEDGER_URL", "LEDGER_TOKEN", "LEDGER_PORTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LEDGER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


class _Api(BaseHTTPRequestHandler):
    """Answers every check as it is told; keeps what it was asked."""

    status = 200
    document: dict[str, Any] = {}  # noqa: RUF012 - set by each test
    asked: dict[str, Any] = {}  # noqa: RUF012 - the same

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).asked = json.loads(self.rfile.read(length))
        body = json.dumps(self.document).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Api]]:
    """An API that answers what the test wants, found by LEDGER_API_URL."""
    answers = type("Answers", (_Api,), {})
    server = HTTPServer(("127.0.0.1", 0), answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("LEDGER_API_URL", f"http://127.0.0.1:{server.server_port}/")
    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def answer(code: str, *, valid: bool) -> dict[str, Any]:
    meta = {"valid": valid, "code": code, "detail": "is so", "position": "l:1.7", "ageMs": 3}
    attributes = {"name": "[bold]x", "seats": {"used": 1, "limit": None, "peak": 2}}
    data = {"id": "the-id", "attributes": attributes} if valid else None
    return {"meta": meta | {"source": "A"}, "data": data}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_shows_an_example_or_says_all(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_help_names_the_exit_codes() -> None:
    text = " ".join(runner.invoke(app, ["--help"]).stdout.split())
    assert "2 wrong usage or something is missing" in text


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["check"], ["check", "--nonsense"], ["show"], ["import", "flexlm"], ["up", "x"]],
)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == trouble.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", KEY],
        ["show", KEY],
        ["tail", "--license", KEY],
        ["forget", KEY, "--yes"],
        ["init"],
        ["stop"],
        ["license", "show", KEY],
        *([group, "list"] for group in GROUPS),
        ["rules"],
        ["rules", "activate", "2"],
        ["rehearse"],
        ["rehearse", "--rules", "2"],
    ],
)
def test_with_no_ledger_there_it_says_how_to_start_one(
    arguments: list[str], tmp_path: Path
) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == trouble.USAGE
    assert str(tmp_path / "data") in result.stderr
    assert KEY not in result.stderr


def test_status_of_nothing_is_no() -> None:
    result = runner.invoke(app, ["status", "--json"])
    assert result.exit_code == trouble.FAILED
    assert json.loads(result.stdout)["ready"] is False


@pytest.mark.parametrize(
    ("ports", "said"), [("api=x", "api=x"), ("nobody=1", "nobody=1"), ("api=1,kafka=1", "at once")]
)
def test_up_with_ports_that_mean_nothing_is_2(ports: str, said: str, tmp_path: Path) -> None:
    result = runner.invoke(app, ["up", "--ports", ports])
    assert result.exit_code == trouble.USAGE
    assert said in result.stderr


def test_a_second_up_on_one_folder_is_2(tmp_path: Path) -> None:
    with locked(data_folder(tmp_path / "data")):
        result = runner.invoke(app, ["up"])
    assert result.exit_code == trouble.USAGE
    assert "already runs" in result.stderr


def test_check_says_valid_and_exits_0(api: type[_Api]) -> None:
    api.document = answer("VALID", valid=True)
    result = runner.invoke(app, ["check", KEY, "--fingerprint", "f"])
    assert result.exit_code == trouble.OK
    assert result.stdout.splitlines()[0] == "VALID"
    assert "[bold]x" in result.stdout
    assert "1 of unlimited" in result.stdout
    assert api.asked == {"meta": {"key": KEY, "scope": {"fingerprint": "f"}}}


def test_check_of_an_invalid_license_is_1(api: type[_Api]) -> None:
    api.document = answer("SUSPENDED", valid=False)
    result = runner.invoke(app, ["check", KEY])
    assert result.exit_code == trouble.FAILED
    assert result.stdout.splitlines()[0] == "SUSPENDED"


def test_check_reads_the_key_from_stdin_and_prints_json(api: type[_Api]) -> None:
    api.document = answer("VALID", valid=True)
    result = runner.invoke(app, ["check", "-", "--json"], input=f"{KEY}\n")
    assert json.loads(result.stdout) == api.document
    assert api.asked["meta"]["key"] == KEY


@pytest.mark.parametrize("key", ["", "x" * 513])
def test_a_key_that_can_be_none_is_2(api: type[_Api], key: str) -> None:
    result = runner.invoke(app, ["check", "-"], input=f"{key}\n")
    assert result.exit_code == trouble.USAGE
    assert "512" in result.stderr


def test_an_api_that_says_no_is_quoted(api: type[_Api]) -> None:
    api.status = 503
    api.document = {"errors": [{"code": "UNAVAILABLE", "detail": "no replica is level"}]}
    result = runner.invoke(app, ["check", KEY])
    assert result.exit_code == trouble.FAILED
    assert "503 UNAVAILABLE: no replica is level" in result.stderr
    assert KEY not in result.output


def test_an_api_that_is_away_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGER_API_URL", "http://127.0.0.1:1")
    result = runner.invoke(app, ["check", KEY])
    assert result.exit_code == trouble.FAILED
    assert "http://127.0.0.1:1 doesn't answer" in result.stderr


def test_forget_without_yes_erases_nothing_and_says_what_it_would_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = data_folder(tmp_path / "data")
    folders.make(folder)
    environment = {
        "LEDGER_LOCAL": "1",
        "LEDGER_KAFKA": "127.0.0.1:1",
        "LEDGER_REPLICAS": "redis://127.0.0.1:1/0",
        "LEDGER_PEPPER_FILE": str(folder.pepper),
        "LEDGER_SEAL_KEYS_FILE": str(folder.seal_keys),
    }
    folders.write_environment(folder, environment)
    result = runner.invoke(app, ["forget", KEY])
    assert result.exit_code == trouble.USAGE
    assert "--yes" in result.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--timezone", "Mars/Olympus"), ("--seats", "MATLAB"), ("--seats", "MATLAB=0")],
)
def test_an_import_with_options_that_mean_nothing_is_2(
    option: str, value: str, tmp_path: Path
) -> None:
    log = tmp_path / "a.log"
    log.touch()
    result = runner.invoke(app, ["import", "flexlm", str(log), option, value])
    assert result.exit_code == trouble.USAGE
    assert f"{option} {value}" in result.stderr


def test_an_import_of_a_file_that_is_not_there_is_2(tmp_path: Path) -> None:
    result = runner.invoke(app, ["import", "flexlm", str(tmp_path / "none.log")])
    assert result.exit_code == trouble.USAGE


def test_an_interrupted_command_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.commands.check.connection.environment", interrupt)
    assert runner.invoke(app, ["check", KEY]).exit_code == trouble.INTERRUPTED


def test_a_bug_is_no_trouble_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("cli.commands.check.connection.environment", fail)
    result = runner.invoke(app, ["check", KEY])
    assert isinstance(result.exception, ZeroDivisionError)
