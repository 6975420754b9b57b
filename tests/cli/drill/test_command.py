"""`ledger drill fifth-of-november` before it begins: what is missing is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.drill import run
from cli.drill.postgres import INSTALL
from cli.drill.scratch import scratch
from cli.main import app

COMMAND = ["drill", "fifth-of-november"]


def test_without_postgres_it_is_skipped_and_says_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "programs", lambda: None)
    done = CliRunner().invoke(app, [*COMMAND, "--report", str(folder / "report")])
    assert done.exit_code == 2
    assert "SKIPPED" in done.stderr
    assert INSTALL in done.stderr
    assert list(folder.glob("ledger-drill-*")) == []


def test_a_report_that_cannot_be_written_is_told_before_anything_is_done(folder: Path) -> None:
    (folder / "file").write_text("mine")
    done = CliRunner().invoke(app, [*COMMAND, "--report", str(folder / "file")])
    assert done.exit_code == 2
    assert "--report" in done.stderr
    assert list(folder.glob("ledger-drill-*")) == []


def test_a_second_one_at_once_is_refused(folder: Path) -> None:
    with scratch(print):
        done = CliRunner().invoke(app, [*COMMAND, "--report", str(folder / "report")])
    assert done.exit_code == 1
    assert "a drill is running already" in done.stderr
