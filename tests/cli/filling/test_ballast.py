"""The ballast: room that is really taken, given back at once, never the last of a disk."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.filling import ballast
from cli.main import app
from cli.trouble import Failed, Missing

MIB = 1 << 20
runner = CliRunner()


def free_bytes(monkeypatch: pytest.MonkeyPatch, *, free: int, total: int = 100 << 30) -> None:
    """Let every disk have so much room."""
    usage = shutil._ntuple_diskusage(total, total - free, free)  # noqa: SLF001
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


@pytest.mark.parametrize("system", [sys.platform, "darwin"])
def test_its_blocks_are_taken_and_given_back(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert ballast.size_of(tmp_path) is None
    ballast.make(tmp_path, 5 * MIB + 7)
    [file] = tmp_path.iterdir()
    assert file.stat().st_blocks * 512 >= 5 * MIB + 7
    assert file.stat().st_size == 5 * MIB + 7
    taken = ballast.size_of(tmp_path)
    assert ballast.release(tmp_path) == taken
    assert list(tmp_path.iterdir()) == []


def test_it_never_takes_the_last_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_bytes(monkeypatch, free=2 * MIB - 1)
    with pytest.raises(Failed, match="less than its own size"):
        ballast.make(tmp_path, MIB)
    assert list(tmp_path.iterdir()) == []
    free_bytes(monkeypatch, free=2 * MIB)
    ballast.make(tmp_path, MIB)


def test_a_promise_of_room_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sparse(number: int, _: int, size: int) -> None:
        os.ftruncate(number, size)

    monkeypatch.setattr(os, "posix_fallocate", sparse)
    with pytest.raises(Failed, match="doesn't keep room"):
        ballast.make(tmp_path, MIB)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Failed, match="No space left"):
        ballast.make(tmp_path, MIB)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("free", "total", "size"),
    [
        (100 << 30, 200 << 30, 128 * MIB),
        (512 * MIB, 600 * MIB, 64 * MIB),
        # Too little for one that is worth it, and too full for any.
        (100 * MIB, 200 * MIB, None),
        (10 << 30, 100 << 30, None),
    ],
)
def test_a_local_run_takes_a_small_part_of_plenty(
    free: int, total: int, size: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_bytes(monkeypatch, free=free, total=total)
    for _ in range(2):
        ballast.keep(tmp_path)
        assert ballast.size_of(tmp_path) == size


def test_the_commands_make_tell_and_release(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert runner.invoke(app, ["ballast", "status", folder]).exit_code == 1
    made = runner.invoke(app, ["ballast", "make", folder, "--size", "2m", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["ballast"] >= 2 * MIB
    again = runner.invoke(app, ["ballast", "make", folder, "--size", "2M"])
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    told = runner.invoke(app, ["ballast", "status", folder])
    assert (told.exit_code, "2.0 MiB" in told.stdout) == (0, True)
    released = runner.invoke(app, ["ballast", "release", folder])
    assert (released.exit_code, "2.0 MiB" in released.stdout) == (0, True)
    nothing = runner.invoke(app, ["ballast", "release", folder])
    assert nothing.exit_code == 2
    assert "no ballast" in nothing.stderr


@pytest.mark.parametrize("size", ["", "G", "0M", "1", "-1G", "1.5G", "1X"])
def test_what_is_no_size_is_refused(size: str, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="--size"):
        ballast.bytes_of(size)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    for arguments in (["make", "--size", "1M"], ["status"]):
        done = runner.invoke(app, ["ballast", *arguments, str(tmp_path / "none")])
        assert done.exit_code == 2
        assert "none is no folder" in done.stderr


def test_what_cannot_be_kept_stops_no_start(tmp_path: Path) -> None:
    ballast.keep(tmp_path / "none")
