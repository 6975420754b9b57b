"""What all commands keep to: help, `--json`, a word of consent, completion, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from cli.main import app
from tests.cli.listening import ID, Listening
from tests.local import LEDGER
from tests.servers import ROOT

runner = CliRunner()

WITHOUT_JSON = {
    "up": "it runs until it is stopped, and talks to who watches it; `status --json` tells of it",
    "stop": "its exit code says all",
}
DESTRUCTIVE = {
    "license revoke": ID,
    "machine deactivate": ID,
    "policy delete": ID,
    "product delete": ID,
    "entitlement delete": ID,
    "token regenerate": ID,
    "token revoke": ID,
}
"""What can't be undone, asked of the API, and an argument of it."""
AT_THE_LOG = {
    "forget",
    "rules activate",
    "rebuild finish",
    "rebuild flip",
    "rebuild run",
    "quarantine discard",
}
"""What can't be undone without the API, or has answers change; their consent is tried by
test_commands.py, test_rules.py, test_rebuild.py and test_quarantine.py."""
UNDONE_BY_ANOTHER = {"license suspend", "license usage", "entitlement detach"}
"""Commands that take something away that another order brings back as it was."""


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - typer brings its own click
    children = getattr(command, "commands", {})
    if path and (not children or command.invoke_without_command):
        yield path
    for name, child in children.items():
        yield from _walk(child, (*path, name))


ROOT_COMMAND: Any = typer.main.get_command(app)
COMMANDS = [" ".join(path) for path in _walk(ROOT_COMMAND)]


def options(command: str) -> set[str]:
    """Names of a command's options."""
    found = ROOT_COMMAND
    for name in command.split():
        found = found.commands[name]
    return {name for parameter in found.params for name in parameter.opts}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_help_and_json_or_a_reason(command: str) -> None:
    done = runner.invoke(app, [*command.split(), "--help"])
    assert done.exit_code == 0
    assert ("--json" in options(command)) == (command not in WITHOUT_JSON)


def test_what_cannot_be_undone_asks_for_consent_and_nothing_else_does() -> None:
    assert {one for one in COMMANDS if "--yes" in options(one)} == (DESTRUCTIVE.keys() | AT_THE_LOG)
    taking = re.compile(r"\b(revoke|delete|deactivate|regenerate|forget|detach|suspend|usage)$")
    rest = {one for one in COMMANDS if taking.search(one)} - DESTRUCTIVE.keys() - AT_THE_LOG
    assert rest == UNDONE_BY_ANOTHER


@pytest.mark.parametrize("command", DESTRUCTIVE)
def test_without_consent_nothing_is_written(
    command: str, server: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*command.split(), DESTRUCTIVE[command]]
    refused = runner.invoke(app, arguments)
    assert refused.exit_code == 2
    assert "Add --yes" in refused.stderr
    monkeypatch.setattr("cli.trouble._on_terminal", lambda: True)
    for answer in ("", "\n", "n\n", "yesterday\n"):
        done = runner.invoke(app, arguments, input=answer)
        assert done.exit_code == 1
        assert "nothing was done" in done.stderr
    assert server.writes == []
    assert runner.invoke(app, arguments, input="y\n").exit_code == 0
    assert len(server.writes) == 1


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment where `ledger` is the one under test, and nothing of whoever runs this."""
    path = f"{Path(LEDGER).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("bash", "complete -o default -F _ledger_completion ledger"),
        ("zsh", "#compdef ledger"),
        ("fish", "complete --command ledger"),
    ],
)
def test_a_shell_gets_its_script(name: str, called: str, shell: dict[str, str]) -> None:
    env = {**shell, "_LEDGER_COMPLETE": f"source_{name}"}
    done = subprocess.run([LEDGER], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert called in done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("lic", {"license"}),
        ("license re", {"reinstate", "renew", "revoke"}),
        ("license list --st", {"--status"}),
        ("license list --status e", {"expiring", "expired"}),
    ],
)
def test_bash_completes(typed: str, completed: set[str], shell: dict[str, str]) -> None:
    script = """
        source <(_LEDGER_COMPLETE=source_bash ledger)
        COMP_WORDS=(ledger "$@"); COMP_CWORD=$#
        _ledger_completion ledger
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "-c", script, "-", *typed.split()],
        env=shell,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert set(done.stdout.split()) == completed


def test_exit_codes_of_the_page_are_those_of_the_help() -> None:
    said = " ".join(runner.invoke(app, ["--help"]).stdout.split())
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE):
        assert re.search(rf"\b{code}\b", said.replace("│", ""))
