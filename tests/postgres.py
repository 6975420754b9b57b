"""A real Postgres on loopback, with its own defaults: every commit is on the disk (`fsync`).

Postgres refuses to run as root, so for root it runs as the user that its package has made.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.ports import free_ports
from tests.servers import Server, ServerError

INSTALL = "apt-get install postgresql, or brew install postgresql"
_NOT_ROOT = ("postgres", "nobody")
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin")
_INITDB_S = 60


def programs() -> Path | None:
    """Folder of Postgres' programs, the newest; None where it isn't installed."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = [
        folder
        for pattern in _FOLDERS
        for folder in Path("/").glob(pattern.removeprefix("/"))
        if (folder / "initdb").exists()
    ]
    return max(found, key=lambda folder: folder.as_posix(), default=None)


class PostgresServer(Server):
    """A cluster in a temporary folder of its own, which `remove` takes away.

    `settings`: of the server, beside its defaults.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        # Not below the caller's folder, which may be root's alone.
        directory = Path(tempfile.mkdtemp(prefix="ledger-postgres-", dir="/tmp"))
        super().__init__(directory, port=free_ports(1)[0])
        self.settings = dict(settings or {})
        if os.geteuid() == 0:
            user = _user()
            os.chown(directory, user.pw_uid, user.pw_gid)

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"postgresql://bench@127.0.0.1:{self.port}/postgres"

    @property
    def data_directory(self) -> Path:
        """Where its data is."""
        return self.directory / "data"

    def remove(self) -> None:
        """Stop it and forget its data."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def is_ready(self) -> bool:
        """Whether it answers a query."""
        import psycopg  # noqa: PLC0415 - this module says whether Postgres is there without it

        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _prepare(self) -> list[str]:
        folder, data = programs(), self.data_directory
        if folder is None:
            raise ServerError(f"Postgres is not installed: {INSTALL}")
        if not data.exists():
            initdb = [str(folder / "initdb"), "-D", str(data), "-U", "bench", "--auth=trust"]
            initdb += ["--encoding=UTF8", "--locale=C"]
            done = subprocess.run(
                [*_as_user(), *initdb],
                env=self._environment(),
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=_INITDB_S,
                check=False,
            )
            if done.returncode:
                raise ServerError(f"initdb failed: {done.stderr[-500:]}")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on",
            **self.settings,
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        return [*_as_user(), str(folder / "postgres"), "-D", str(data), *given]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def _as_user() -> list[str]:
    """What a command begins with, so that it runs as somebody who isn't root."""
    if os.geteuid() != 0:
        return []
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _user() -> pwd.struct_passwd:
    for name in _NOT_ROOT:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError("Postgres runs as no root, and there is no user to run it as")
