"""`ledger check` of many keys: from arguments and files, by the thousand, told by their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import trouble
from cli.main import app
from tests.cli.listening import ID, Listening

MANY = ("POST", "/v1/licenses/actions/validate-many")
runner = CliRunner()


def test_several_keys_are_asked_at_once_and_told_by_their_numbers(server: Listening) -> None:
    done = runner.invoke(app, ["check", "KEY-0001", "KEY-0002", "--fingerprint", "f"])
    assert done.exit_code == trouble.OK, done.output
    assert server.asked == [MANY]
    scope = {"scope": {"fingerprint": "f"}}
    assert server.many == [{"key": "KEY-0001", **scope}, {"key": "KEY-0002", **scope}]
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1:] == [[number, "VALID", ID, "REPLICA_A"] for number in "12"]
    assert "2 of 2 are valid" in done.stderr
    assert "KEY-000" not in done.output


def test_one_alone_is_asked_as_ever(server: Listening) -> None:
    assert runner.invoke(app, ["check", "KEY-0001"]).exit_code == trouble.OK
    assert server.asked == [("POST", "/v1/licenses/actions/validate-key")]


def test_a_file_has_a_key_a_line_and_numbers_are_its_lines(
    server: Listening, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("KEY-0001\n\n  KEY-0003 \nKEY-0004")
    done = runner.invoke(app, ["check", "--file", str(tmp_path / "keys"), "--json"])
    assert done.exit_code == trouble.OK
    assert [one["key"] for one in server.many] == ["KEY-0001", "KEY-0003", "KEY-0004"]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["number"] for one in lines] == [1, 3, 4]
    assert [one["license"] for one in lines] == [ID] * 3


def test_thousands_go_by_the_thousand(server: Listening) -> None:
    keys = "".join(f"KEY-{number:05}\n" for number in range(2500))
    done = runner.invoke(app, ["check", "--file", "-", "--json"], input=keys)
    assert done.exit_code == trouble.OK
    assert server.asked == [MANY] * 3
    assert len(server.many) == 2500
    assert len(done.stdout.splitlines()) == 2500


def test_one_that_is_not_valid_makes_it_1(
    server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    untold = {"valid": None, "code": "UNAVAILABLE", "license": None, "source": None}
    monkeypatch.setattr(
        "tests.cli.listening._VALIDATION", {"type": "validations", "attributes": untold}
    )
    done = runner.invoke(app, ["check", "KEY-0001", "KEY-0002"])
    assert done.exit_code == trouble.FAILED
    assert "UNAVAILABLE" in done.stdout
    assert "0 of 2 are valid" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        ([], "", "no key"),
        (["--file", "-"], "\n\n", "no key"),
        (["--file", "none-such"], "", "none-such can't be read"),
        (["KEY-0001", "-"], "KEY\n", "stands alone"),
        (["--file", "-"], "KEY-0001\n" + "x" * 5000, "number 2"),
    ],
)
def test_what_can_t_be_asked_is_2(
    server: Listening, arguments: list[str], stdin: str, said: str
) -> None:
    done = runner.invoke(app, ["check", *arguments], input=stdin)
    assert done.exit_code == trouble.USAGE
    assert said in done.stderr
    assert not server.asked


def test_what_is_no_text_is_2(server: Listening, tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"KEY\xff\xfe\n")
    done = runner.invoke(app, ["check", "--file", str(tmp_path / "keys")])
    assert done.exit_code == trouble.USAGE
    assert "UTF-8" in done.stderr
    assert not server.asked
