"""The drill's folder: for one at a time, and nothing is left of it, however a drill ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.drill.scratch import Scratch, scratch
from cli.local import processes
from cli.local.processes import Process
from cli.trouble import Failed, Missing
from tests.servers import ROOT, wait_until

PARENT = ["sh", "-c", "sleep 300 & sleep 300"]


def said(_: str) -> None:
    """Say nothing."""


def family(scratch: Scratch) -> list[Process]:
    """A process and what it started."""
    started = scratch.start("parent", PARENT)
    wait_until(lambda: len(processes.children_of(started.pid)) == 2, what="both children")
    own = processes.identify(started.pid)
    assert own is not None
    return [own, *processes.children_of(own.id)]


def test_processes_end_with_the_drill_and_the_folder_is_empty(folder: Path) -> None:
    def fails() -> None:
        with scratch(said) as here:
            started.extend(family(here))
            (here.root / "volume").mkdir()
            raise ValueError

    started: list[Process] = []
    with pytest.raises(ValueError):  # noqa: PT011 - the test's own
        fails()
    assert len(started) == 3
    assert not any(map(processes.is_alive, started))
    [root] = folder.iterdir()
    assert [entry.name for entry in root.iterdir()] == ["lock"]


def test_a_stopped_process_ends_as_well(folder: Path) -> None:
    with scratch(said) as here:
        started = family(here)
        for one in started:
            processes.send(one, signal.SIGSTOP)
    assert not any(map(processes.is_alive, started))


KILLED = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from cli.drill.scratch import scratch
from tests.cli.drill.test_scratch import family
with scratch(print) as here:
    print(*(one.id for one in family(here)), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_drill_left_is_ended_by_the_next(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = [processes.identify(int(word)) for word in done.stdout.split()]
    assert len(left) == 3
    assert all(left)
    heard: list[str] = []
    with scratch(heard.append):
        assert not any(processes.is_alive(one) for one in left if one)
    assert heard == ["an earlier drill left processes behind; ending parent"]


def test_there_is_one_drill_at_a_time(folder: Path) -> None:
    with scratch(said), pytest.raises(Failed, match="a drill is running already"), scratch(said):
        pass


def test_a_folder_that_others_may_write_is_not_used(folder: Path) -> None:
    with scratch(said) as here:
        root = here.root
    root.chmod(0o777)
    with pytest.raises(Missing, match="remove it"), scratch(said):
        pass
