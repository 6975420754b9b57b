"""Supervisor, the program that keeps the processes: started, asked, and stopped.

It is asked over XML-RPC on a unix socket; each call has a time limit, which its own client lacks.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

from msgspec import Struct, ValidationError, convert

from cli.local.folder import DataFolder

CALL_TIMEOUT_S: Final = 2.0


class SupervisorUnavailable(Exception):
    """Supervisor doesn't answer, not in time, or not to the end."""


class State(StrEnum):
    """What supervisor says of a process."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs, and nothing will by itself."""
        return self in {State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN}


class Told(Struct, frozen=True, kw_only=True, rename={"state": "statename"}):
    """A process as supervisor tells of it; `pid` 0 where none runs. `start` is Unix seconds."""

    name: str
    group: str
    state: State
    pid: int
    start: int
    spawnerr: str


def start(folder: DataFolder, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start supervisor, and so everything. It lives on when this process dies."""
    argv = [sys.executable, "-m", "cli.local.supervisord", "-c", str(folder.supervisor_config)]
    with folder.log("supervisord-start").open("wb") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder.run,
            # Ctrl-C is for `ledger up`, which then stops the processes in their order.
            start_new_session=True,
        )


class Supervisor:
    """The supervisor that listens on a socket."""

    def __init__(self, socket_path: Path, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._path = str(socket_path)
        self._timeout_s = timeout_s

    def processes(self) -> dict[str, Told]:
        """All processes by name. Raises `SupervisorUnavailable`."""
        answer = self._call("supervisor.getAllProcessInfo")
        try:
            return {told.name: told for told in convert(answer, list[Told])}
        except ValidationError as error:
            raise SupervisorUnavailable(f"supervisor answers otherwise: {error}") from None

    def shut_down(self) -> None:
        """Have everything stopped in order, and supervisor at last; doesn't wait for it."""
        self._call("supervisor.shutdown")

    def start_again(self, told: Told) -> None:
        """Start a process that it has given up; doesn't wait for it."""
        self._call("supervisor.startProcess", f"{told.group}:{told.name}", False)  # noqa: FBT003

    def _call(self, method: str, *arguments: str | bool) -> object:
        transport = _UnixTransport(self._path, self._timeout_s)
        body = xmlrpc.client.dumps(arguments, method)
        try:
            answer = transport.request("localhost", "/RPC2", body.encode())
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise SupervisorUnavailable(f"supervisor doesn't answer: {error}") from None
        finally:
            transport.close()
        # An answer is a tuple of one value.
        return answer[0]


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__()
        self._socket_path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        """Connect to the socket, whatever the host is called."""
        del host
        connection = _UnixConnection(self._socket_path, self._timeout_s)
        # Where `close` looks for it.
        self._connection = ("localhost", connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = path

    def connect(self) -> None:
        """Connect to the unix socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)
