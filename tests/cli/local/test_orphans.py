"""Orphans are ended by id and start time; a recycled id is nobody of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from cli.local import folder as folders
from cli.local import processes
from cli.local.folder import DataFolder, data_folder
from cli.local.lock import FolderInUse, is_locked, locked
from cli.local.orphans import end_orphans
from cli.local.processes import Noted, Process
from tests.servers import wait_until

SLEEPS = "import time; time.sleep(600)"
STUBBORN = (
    f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); {SLEEPS}"
)

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    made = data_folder(tmp_path / "data")
    folders.make(made)
    return made


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def identity(process: subprocess.Popen[bytes]) -> Process:
    found = processes.identify(process.pid)
    assert found is not None
    return found


def write(folder: DataFolder, supervisor: Process, **children: Process) -> None:
    noted = Noted(
        up=supervisor, supervisor=supervisor, children=children, socket=str(folder.run / "none")
    )
    folder.processes.write_bytes(msgspec.json.encode(noted))


GONE = Process(id=2**22 + 1, started="never")


def test_a_process_is_who_it_is_until_it_has_ended(start: Start) -> None:
    process = start(SLEEPS)
    known = identity(process)
    assert processes.is_alive(known)
    assert not processes.is_alive(Process(id=known.id, started="another start"))
    process.kill()
    # Its remains are there until somebody waits for it: it has ended all the same.
    wait_until(lambda: not processes.is_alive(known), what="ended")
    process.wait()


def test_children_are_found(start: Start) -> None:
    process = start(SLEEPS)
    assert identity(process) in processes.children_of(os.getpid())


def test_what_the_last_run_left_is_ended(folder: DataFolder, start: Start) -> None:
    kafka, worker = start(SLEEPS), start(SLEEPS)
    said: list[str] = []
    write(folder, GONE, kafka=identity(kafka), **{"worker-1": identity(worker)})
    end_orphans(folder, said.append)
    assert (kafka.wait(5), worker.wait(5)) == (-signal.SIGTERM, -signal.SIGTERM)
    assert str(kafka.pid) in said[0]
    assert processes.noted(folder) is None


def test_one_that_does_not_stop_is_killed(
    folder: DataFolder, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.local.orphans._TERMINATE_S", 0.2)
    stubborn = start(STUBBORN)
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    write(folder, GONE, kafka=identity(stubborn))
    end_orphans(folder, lambda _: None)
    assert stubborn.wait(5) == -signal.SIGKILL


def test_a_recycled_id_is_left_alone(folder: DataFolder, start: Start) -> None:
    stranger = start(SLEEPS)
    said: list[str] = []
    write(folder, GONE, kafka=Process(id=stranger.pid, started="before"))
    end_orphans(folder, said.append)
    assert stranger.poll() is None
    assert said == []


def test_children_of_a_supervisor_that_nobody_noted_are_ended_too(
    folder: DataFolder, start: Start
) -> None:
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    supervisor = start(code)
    assert supervisor.stdout is not None
    child = processes.identify(int(supervisor.stdout.readline()))
    assert child is not None
    write(folder, identity(supervisor))
    end_orphans(folder, lambda _: None)
    assert supervisor.wait(5) == -signal.SIGTERM
    wait_until(lambda: not processes.is_alive(child), what="the child has ended")


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_notes_that_cannot_be_read_end_nobody(folder: DataFolder, content: bytes) -> None:
    folder.processes.write_bytes(content)
    end_orphans(folder, pytest.fail)


def test_notes_come_back(folder: DataFolder, start: Start) -> None:
    process = start(SLEEPS)
    processes.note(folder, identity(process), {"kafka": process.pid, "gone": GONE.id}, Path("/s"))
    found = processes.noted(folder)
    assert found is not None
    assert found.children == {"kafka": identity(process)}
    assert found.up.id == os.getpid()
    assert processes.socket_of(found) == Path("/s")


def test_one_ledger_up_at_a_time(folder: DataFolder) -> None:
    with locked(folder):
        assert is_locked(folder)
        with pytest.raises(FolderInUse, match="--data"), locked(folder):
            pass
    assert not is_locked(folder)


def test_without_proc_the_start_time_comes_from_ps(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cli.local.processes._PROC", tmp_path / "none")
    process = start(SLEEPS)
    known = identity(process)
    assert processes.is_alive(known)
    assert known in processes.children_of(os.getpid())
    process.kill()
    process.wait()
    assert not processes.is_alive(known)
