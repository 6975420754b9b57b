"""The drill's own folder, and what it left behind: ended and removed by itself, or by the next one.

Whoever runs in it is noted with id and start time as soon as it runs, so that a drill that was
killed leaves nothing that the next one wouldn't find.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

import msgspec

from cli.local import processes
from cli.local.folder import DataFolder, data_folder, write_private
from cli.local.lock import FolderInUse, locked
from cli.local.orphans import end_orphans
from cli.local.processes import Process
from cli.trouble import Failed, Missing

LEDGER: Final = "ledger"
"""The process that is stopped in order, and whose own processes are ended as well."""
ORDERLY_S: Final = 20.0
_KILLED_S: Final = 5.0
_THROUGH: Final = 0o711
"""Postgres, which is another user's, has to get through to its volume."""


class Scratch:
    """A folder at a known place, and the processes that work in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._noted: dict[str, Process] = {}

    @property
    def ledger(self) -> DataFolder:
        """The data folder of the ledger that is in the drill."""
        return data_folder(self.root / LEDGER)

    def log(self, name: str) -> Path:
        """What a process wrote."""
        return self.root / f"{name}.log"

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; Ctrl-C in a terminal isn't meant for it.

        `stdout`: its log, unless it says otherwise.
        """
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=env,
                cwd="/",
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                start_new_session=True,
            )
        self._started[name] = process
        found = processes.identify(process.pid)
        if found is not None:
            self._noted[name] = found
        write_private(self._notes, msgspec.json.encode(self._noted).decode())
        return process

    def last_words(self, name: str) -> str:
        """The end of a process' log."""
        with suppress(OSError):
            lines = self.log(name).read_text(errors="replace").strip().splitlines()
            return "\n".join(f"  {line}" for line in lines[-8:])
        return ""

    def clear(self, say: Callable[[str], None]) -> None:
        """End all that still runs in the folder, whoever started it, and empty it."""
        noted = self._noted or self._read_notes()
        alive = {name: one for name, one in noted.items() if processes.is_alive(one)}
        if alive and not self._started:
            say(f"an earlier drill left processes behind; ending {', '.join(alive)}")
        if LEDGER in alive:
            processes.send(alive[LEDGER], signal.SIGTERM)
        for name, one in alive.items():
            if name != LEDGER:
                end(one)
        if LEDGER in alive and processes.wait_ended([alive[LEDGER]], ORDERLY_S):
            end(alive[LEDGER])
        for process in self._started.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(_KILLED_S)
            for pipe in (process.stdin, process.stdout):
                _close(pipe)
        with suppress(FolderInUse):
            if self.ledger.run.is_dir():
                with locked(self.ledger):
                    end_orphans(self.ledger, say)
        self._empty()

    @property
    def _notes(self) -> Path:
        return self.root / "processes.json"

    def _read_notes(self) -> dict[str, Process]:
        try:
            return msgspec.json.decode(self._notes.read_bytes(), type=dict[str, Process])
        except (OSError, msgspec.DecodeError):
            return {}

    def _empty(self) -> None:
        for entry in self.root.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def end(process: Process) -> None:
    """Kill a process with all that it started, and wait until they are gone."""
    these = [process]
    for one in these:
        these += processes.children_of(one.id)
    for one in these:
        processes.send(one, signal.SIGKILL)
    processes.wait_ended(these, _KILLED_S)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with suppress(OSError):
            pipe.close()


@contextmanager
def scratch(say: Callable[[str], None]) -> Iterator[Scratch]:
    """The drill's folder, empty, for one drill at a time. Raises `Failed`, `Missing`."""
    # Not below the caller's own folders: as root's, Postgres couldn't get there.
    root = Path(tempfile.gettempdir()) / f"ledger-drill-{os.geteuid()}"
    root.mkdir(mode=_THROUGH, exist_ok=True)
    status = root.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Missing(f"{root} isn't a folder of one's own that nobody else may write: remove it")
    with (root / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(f"a drill is running already (in {root}): wait for its end") from None
        here = Scratch(root)
        here.clear(say)
        try:
            yield here
        finally:
            here.clear(say)
