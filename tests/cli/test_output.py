"""What every command keeps to when it prints, and the completion of shells."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from cli import output, trouble
from tests.local import LEDGER

ROWS = [["0f9619ff-8b86-4011-b42d-00cf4fc964ff", "a name that is long enough to be folded", "x"]]


def test_elsewhere_than_in_a_terminal_a_table_is_plain_and_cut_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.print_table(["id", "name", "kind"], ROWS)
    said = capsys.readouterr().out
    assert said.splitlines()[1].split("  ")[0] == ROWS[0][0]
    assert ROWS[0][1] in said
    assert "\x1b" not in said


def test_in_a_terminal_a_table_fits_and_ids_stay_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_table(["id", "name", "kind"], ROWS, whole=["id"])
    said = capsys.readouterr().out
    assert not re.search(r"\x1b\[[34]\d", said)
    lines = re.sub(r"\x1b\[\d*m", "", said).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert ROWS[0][0] in lines[1]
    assert len(lines) > 2


def test_what_others_wrote_is_no_markup_and_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_facts({"name": "[bold]x\x1b[31m"})
    assert capsys.readouterr().out.rstrip() == "name  [bold]x\ufffd[31m"


def test_a_stream_has_a_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json_line({"a": "ü\n"})
    assert capsys.readouterr().out == '{"a":"ü\\n"}\n'


def test_nothing_that_cannot_be_undone_happens_without_yes() -> None:
    trouble.sure("this ends it", yes=True)
    with pytest.raises(trouble.Missing, match=r"this ends it\. Add --yes"):
        trouble.sure("this ends it", yes=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shells_script_is_there_and_completes(shell: str) -> None:
    script = _completion({"_LEDGER_COMPLETE": f"source_{shell}"})
    assert "ledger" in script
    assert f"complete_{shell}" in script
    asked = {
        "bash": {"COMP_WORDS": "ledger fo", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "ledger fo"},
        "fish": {"_TYPER_COMPLETE_ARGS": "ledger fo", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    assert "forget" in _completion({"_LEDGER_COMPLETE": f"complete_{shell}", **asked[shell]})


def _completion(asked: dict[str, str]) -> str:
    done = subprocess.run(
        [LEDGER],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr
    return done.stdout
