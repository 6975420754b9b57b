"""Processes by identity: an id and a start time, so that a recycled id is never taken for ours."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cli.local.folder import DataFolder, write_private

_PROC: Final = Path("/proc")
_PS_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.05
_STARTTIME: Final = 19
"""Where a process' start time stands in /proc/<id>/stat, counted after its name in brackets."""
_PARENT: Final = 1
_STATE: Final = 0


class Process(Struct, frozen=True, kw_only=True):
    """A process. `started` is the kernel's word for its start time, compared for equality only."""

    id: int
    started: str


class Noted(Struct, frozen=True, kw_only=True):
    """What a run wrote of itself: `ledger up`, its supervisor and where that listens, the rest."""

    up: Process
    supervisor: Process
    children: dict[str, Process]
    socket: str


def identify(process_id: int) -> Process | None:
    """The process that has this id now; None where there is none, or only its remains."""
    started = _linux_started(process_id) if _PROC.is_dir() else _ps_started(process_id)
    return None if started is None else Process(id=process_id, started=started)


def is_alive(process: Process) -> bool:
    """Whether this very process still runs."""
    return identify(process.id) == process


def children_of(process_id: int) -> list[Process]:
    """The processes that this one started and that still run."""
    ids = _linux_children(process_id) if _PROC.is_dir() else _ps_children(process_id)
    return [found for found in map(identify, ids) if found is not None]


def note(folder: DataFolder, supervisor: Process, ids: Mapping[str, int], socket: Path) -> None:
    """Write down who runs, for a next start that finds them orphaned, and for `ledger stop`."""
    up = identify(os.getpid())
    assert up is not None  # noqa: S101 - this process lives
    found = ((name, identify(process_id)) for name, process_id in ids.items())
    children = {name: process for name, process in found if process is not None}
    noted = Noted(up=up, supervisor=supervisor, children=children, socket=str(socket))
    write_private(folder.processes, msgspec.json.encode(noted).decode() + "\n")


def noted(folder: DataFolder) -> Noted | None:
    """What the last run wrote down; None where it wrote nothing that can be read."""
    try:
        return msgspec.json.decode(folder.processes.read_bytes(), type=Noted)
    except (OSError, msgspec.DecodeError):
        return None


def socket_of(noted: Noted) -> Path:
    """Where the run's supervisor listens."""
    return Path(noted.socket)


def forget(folder: DataFolder) -> None:
    """Take away what the run wrote down: nobody is left."""
    folder.processes.unlink(missing_ok=True)


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal to this very process, or to nobody."""
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.id, number)


def wait_ended(these: Iterable[Process], timeout_s: float) -> list[Process]:
    """Wait until they have ended; returns those that had not in time."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in these if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [process for process in left if is_alive(process)]
    return left


def _linux_stat(process_id: int) -> list[str] | None:
    try:
        text = (_PROC / str(process_id) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _linux_started(process_id: int) -> str | None:
    fields = _linux_stat(process_id)
    if fields is None or fields[_STATE] in {"Z", "X"}:
        return None
    return f"{_boot_id()}:{fields[_STARTTIME]}"


def _boot_id() -> str:
    """Start times count from the boot, so they mean nothing after another one."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _linux_children(process_id: int) -> list[int]:
    ids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    stats = ((candidate, _linux_stat(candidate)) for candidate in ids)
    return [
        candidate for candidate, fields in stats if fields and fields[_PARENT] == str(process_id)
    ]


def _ps_started(process_id: int) -> str | None:
    """The start time to the second, where there is no /proc (macOS)."""
    line = _ps("-o", "stat=,lstart=", "-p", str(process_id)).strip()
    state, _, started = line.partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _ps_children(process_id: int) -> list[int]:
    pairs = (line.split() for line in _ps("-A", "-o", "pid=,ppid=").splitlines())
    return [int(pair[0]) for pair in pairs if pair[1:] == [str(process_id)]]


def _ps(*arguments: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        told = subprocess.run(
            ["ps", *arguments],
            capture_output=True,
            text=True,
            timeout=_PS_TIMEOUT_S,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout
