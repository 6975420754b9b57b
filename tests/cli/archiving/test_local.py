"""`ledger up --restore`: what is wrong with the backup is said before anything is started."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.archiving.stages import Stage, Stages
from cli.local.screen import Screen
from cli.main import app
from ledger.archive.folder import MANIFEST
from tests.cli.archiving.ledgers import PARTITIONS, PEPPER, CompactedLog, back_up, begin, settings

runner = CliRunner()


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    log, these = CompactedLog(), settings()
    await begin(log, these)
    await back_up(log, tmp_path / "backup", these.pepper)
    return tmp_path / "backup"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with what was kept beside the backup."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pepper").write_text(PEPPER)
    (folder / "seal-keys").write_text(f"k1:{'73' * 32}")
    return folder


def up(data: Path, backup: Path, partitions: int = PARTITIONS) -> Result:
    command = ["up", "--data", str(data), "--ports", "auto", "--restore", str(backup)]
    return runner.invoke(app, command, env={"LEDGER_PARTITIONS": str(partitions)})


def refused(done: Result, data: Path, said: str) -> None:
    assert done.exit_code in {1, 2}, done.output
    assert isinstance(done.exception, SystemExit), "one line, and no traceback"
    assert said in done.stderr
    assert {one.name for one in data.iterdir()} == {"pepper", "seal-keys"}, "nothing was started"


def test_what_is_no_backup_is_refused_before_anything_is_started(
    backup: Path, data: Path, tmp_path: Path
) -> None:
    refused(up(data, tmp_path / "mistyped"), data, "holds no backup")
    refused(up(data, backup / MANIFEST), data, "Not a directory")
    refused(up(data, backup, 8), data, "LEDGER_PARTITIONS says 8: set it to 4")
    next(backup.glob("license-events-*.gz")).unlink()
    refused(up(data, backup), data, "is missing")


def test_other_secrets_than_the_backups_are_refused_before_anything_is_started(
    backup: Path, data: Path
) -> None:
    (data / "pepper").write_text(secrets.token_hex(32))
    refused(up(data, backup), data, "is not the pepper of ledger")
    (data / "seal-keys").unlink()
    done = up(data, backup)
    assert done.exit_code == 2
    assert "copy pepper and seal-keys" in done.stderr
    assert {one.name for one in data.iterdir()} == {"pepper"}, "no new key was made"


@pytest.mark.parametrize("terminal", [False, True])
def test_the_screen_shows_how_far_a_restore_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setattr("cli.importing.progress._LINE_EVERY_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
    screen = Screen()
    with Stages(screen).of(Stage("restore", 2_000)) as moved:
        moved(1_500)
        screen.parts([], {})
        screen.settle()
    said = capsys.readouterr().out
    assert "1,500 of 2,000" in said if terminal else "restore: 1500 of 2000" in said
