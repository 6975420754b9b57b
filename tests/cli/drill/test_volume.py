"""The small volume of a drill: full when it is full, and gone with the drill."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from cli.drill import postgres
from cli.drill.scratch import Scratch
from cli.drill.volume import SIZE_MB, Volume, volume

MB = 1 << 20


def inside(small: Volume, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*small.enter, *command], capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )


def test_it_has_a_size_of_its_own_and_can_be_filled_to_the_last_byte(small: Volume) -> None:
    assert 0.9 * SIZE_MB * MB < small.free_bytes() <= SIZE_MB * MB
    small.fill("ballast", leave=3 * MB)
    assert small.free_bytes() == 3 * MB
    small.fill("rest", leave=0)
    assert small.free_bytes() == 0
    with pytest.raises(OSError, match="space") as full:
        (small.seen / "more").write_bytes(b"x" * MB)
    assert full.value.errno == errno.ENOSPC
    assert inside(small, "sh", "-c", f"echo something > {small.path}/other").returncode != 0
    small.make_room("ballast")
    assert small.free_bytes() > (SIZE_MB - 10) * MB
    assert inside(small, "sh", "-c", f"echo something > {small.path}/other").returncode == 0


def test_nobody_else_sees_it(small: Volume) -> None:
    assert inside(small, "touch", f"{small.path}/mine").returncode == 0
    assert (small.seen / "mine").exists()
    assert list(small.path.iterdir()) == []
    assert str(small.path) not in Path("/proc/self/mounts").read_text(encoding="utf-8")


def test_its_programs_are_not_run_by_root(small: Volume) -> None:
    assert int(inside(small, "id", "-u").stdout) != 0


@pytest.mark.skipif(postgres.as_user() == [], reason="only root can be somebody without root")
def test_without_root_there_is_one_as_well(here: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.drill.volume._ROOT", ["--no-such-flag"])
    made = volume(here)
    if made.trouble is not None:
        pytest.skip(made.trouble)
    assert made.words.startswith("no root")
    made.fill("ballast", leave=0)
    assert made.free_bytes() == 0
    assert int(inside(made, "id", "-u").stdout) != 0


def test_where_none_can_be_made_it_says_why(here: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    made = volume(here)
    assert made.trouble is not None
    assert "unshare and nsenter" in made.trouble
    assert made.words == "neither root nor user namespaces: a plain folder"
    assert made.seen == made.path
