"""What every command keeps to when it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from cli import output, trouble
from tests.servers import ROOT

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


@pytest.mark.parametrize("width", [40, 48])
def test_in_a_narrow_terminal_nothing_is_lost(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.print_table(["id", "name", "kind"], ROWS, whole=["id", "kind"])
    output.print_facts({"license": ROWS[0][0], "a long name": ROWS[0][1]})
    said = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, said.splitlines())) <= width
    assert said.count(ROWS[0][0]) == 2
    assert " ".join(said.split()).count("folded") == 2


def test_elsewhere_a_row_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["name", "kind"], [["n" * 500, "x"]])
    output.print_facts({"name": "n" * 500})
    assert len(capsys.readouterr().out.splitlines()) == 3


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


def test_what_libraries_log_is_no_word_of_a_command() -> None:
    program = """
import logging, sys
from cli.main import main
sys.argv = ["ledger", "--version"]
try:
    main()
except SystemExit:
    pass
logging.getLogger("projector.session").warning("the replica stands elsewhere")
logging.getLogger("aiokafka.conn").error("the broker is away")
logging.getLogger("somebody").warning("heard")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "heard\n"
