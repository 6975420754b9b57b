"""A real Postgres on loopback, with its own defaults: every commit is on the disk (`fsync`).

Postgres refuses to run as root, so for root it runs as the user that its package has made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cli.drill.postgres import INSTALL, as_user, not_root, programs
from tests.ports import free_ports
from tests.servers import Server, ServerError

_INITDB_S = 60


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
            user = not_root()
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
                [*as_user(), *initdb],
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
        return [*as_user(), str(folder / "postgres"), "-D", str(data), *given]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
