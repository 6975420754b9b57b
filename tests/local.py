"""`ledger up` in tests: started, read, harmed, and gone at the end whatever happens."""

from __future__ import annotations

import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from cli.local import processes
from cli.local.folder import DataFolder, data_folder
from cli.local.plan import WORKERS, defaults
from cli.local.processes import Process
from tests.ports import free_ports
from tests.servers import ROOT, end_with_tests, ended

LEDGER = str(Path(sys.executable).with_name("ledger"))
LIMIT_S = 90.0
BROKERS = 3
"""At most."""
LAST_LINE = "Ctrl-C stops everything"


class Local:
    """A data folder and the `ledger up` that runs on it, if one does."""

    def __init__(self, directory: Path) -> None:
        self.folder: DataFolder = data_folder(directory / "data")
        self.ports = some_ports()
        self.output: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._guarded: set[int] = set()

    @property
    def process(self) -> subprocess.Popen[str]:
        """`ledger up`."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def text(self) -> str:
        """All that the present `ledger up` has said so far."""
        return "\n".join(self.output)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Start `ledger up` without waiting for anything."""
        command = [LEDGER, "up", "--data", str(self.folder.root), "--ports", self.ports, *arguments]
        self.output, self._lines = [], queue.Queue()
        self._process = subprocess.Popen(
            command,
            env={**environment(), **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()

    def until(self, said: str, *, limit_s: float = LIMIT_S) -> str:
        """Wait for a line with `said` in it; raises AssertionError with all that was said."""
        deadline = time.monotonic() + limit_s
        while True:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=0.1)
                assert line is not None, f"it ended without saying {said!r}:\n{self.text}"
                self.output.append(line)
                if said in line:
                    return line
            assert time.monotonic() < deadline, f"never said {said!r}:\n{self.text}"
            self.guard()

    def ready(self, *, limit_s: float = LIMIT_S) -> None:
        """Wait until everything is there."""
        self.until(LAST_LINE, limit_s=limit_s)

    def wait(self) -> int:
        """Wait for the end of `ledger up`; its exit code."""
        code = self.process.wait(LIMIT_S)
        while (line := self._lines.get(timeout=LIMIT_S)) is not None:
            self.output.append(line)
        return code

    def everybody(self) -> dict[str, Process]:
        """Supervisor and all that it keeps, by name, as last noted."""
        noted = processes.noted(self.folder)
        return {} if noted is None else {"supervisor": noted.supervisor, **noted.children}

    def pasted(self) -> str:
        """What the line that `ledger up` offers for pasting answers."""
        line = next(line for line in self.output if "curl" in line)
        done = subprocess.run(
            shlex.split(line), capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def key(self) -> str:
        """The license key that is offered for pasting."""
        found = re.search(r"LIC-[0-9A-Z-]+", self.text)
        assert found is not None
        return found[0]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run another command on the data folder."""
        return subprocess.run(
            [LEDGER, *arguments],
            env={**environment(), "LEDGER_DATA": str(self.folder.root)},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            cwd=ROOT,
        )

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(LIMIT_S)
        left = self.everybody()
        for process in left.values():
            processes.send(process, signal.SIGKILL)
        processes.wait_ended(left.values(), LIMIT_S)
        for id_ in self._guarded:
            ended(id_)

    def guard(self) -> None:
        """Have what runs now killed if the tests' own process dies."""
        new = {process.id for process in self.everybody().values()} - self._guarded
        self._guarded |= new
        for id_ in new:
            end_with_tests(id_)

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.put(line.rstrip("\n"))
        lines.put(None)


def environment() -> dict[str, str]:
    """The environment without the LEDGER_* of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}


def some_ports() -> str:
    """Free ports for everything, as --ports takes them."""
    names = [name for name in defaults(BROKERS) if name != "workers"]
    first, *others = free_ports(WORKERS + len(names))
    given = {"workers": first, **dict(zip(names, others[WORKERS - 1 :], strict=True))}
    return ",".join(f"{name}={port}" for name, port in given.items())


def mentioning(path: Path) -> list[str]:
    """Command lines of all processes that name a path (nothing where there is no /proc)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(path) in line:
                found.append(line)
    return found
