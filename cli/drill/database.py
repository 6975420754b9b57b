"""The vendor's database: a real Postgres on the drill's volume, and what is done to it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from typing import Final

import psycopg

from cli.drill.postgres import programs
from cli.drill.scratch import Scratch
from cli.drill.volume import Volume
from cli.local import processes
from cli.local.processes import Process
from cli.trouble import Failed

NAME: Final = "postgres"
DATA: Final = "data"
"""Its folder on the volume."""
TABLE: Final = "machines"
"""The second of the two largest; the largest is the audit."""
_INITDB_S: Final = 60.0
_START_S: Final = 30.0
_ASK_S: Final = 10
_WAL_MB: Final = 32
"""Postgres keeps no more of it for later than this: what is recycled would hide a full disk."""
_OTHERS: Final = 40_000
_MACHINES_EACH: Final = 6
_AUDITED: Final = 400_000

_AUDIT: Final = """
    CREATE TABLE audit (at timestamptz NOT NULL DEFAULT now(), license_id uuid, what text NOT NULL);
    CREATE INDEX ON audit (at);
"""
_FACTS: Final = """
    ALTER TABLE machines ADD COLUMN facts text NOT NULL DEFAULT '';
    ALTER TABLE machines ALTER COLUMN facts SET STORAGE PLAIN;
"""
"""Rows of any size fill the pages that the table has left, which may be many."""
_FILLER: Final = """
    INSERT INTO machines (license_id, fingerprint, facts)
    SELECT id, %s, repeat('x', %s) FROM licenses LIMIT 1
"""
_FILLER_SIZES: Final = (7_900, 2_000, 500, 0)
_IN_VAIN: Final = 10
"""So many in a row that don't fit: an index may lack a page where the table has one."""


class Database:
    """One Postgres, which its owner may lose. `prefix`: what its command begins with."""

    def __init__(self, scratch: Scratch, volume: Volume, port: int, prefix: list[str]) -> None:
        self._scratch = scratch
        self._volume = volume
        self._port = port
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        self._locked: psycopg.Connection | None = None

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"postgresql://drill@127.0.0.1:{self._port}/postgres"

    @property
    def version(self) -> str:
        """As the server says it."""
        with self.connection() as connection:
            return connection.info.parameter_status("server_version") or ""

    def make(self) -> None:
        """Make the cluster. Raises `Failed`."""
        command = [str(self._program("initdb")), "-D", str(self._data), "-U", "drill"]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = self._scratch.start("initdb", [*self._volume.enter, *command], env=_environment())
        if made.wait(_INITDB_S):
            raise Failed(f"initdb failed:\n{self._scratch.last_words('initdb')}")

    def start(self) -> None:
        """Start it, and wait until it answers. Raises `Failed`."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_wal_size": f"{_WAL_MB}MB",
            "min_wal_size": f"{_WAL_MB}MB",
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        command = [str(self._program("postgres")), "-D", str(self._data), *given]
        self._process = self._scratch.start(
            NAME, [*self._volume.enter, *self._prefix, *command], env=_environment()
        )
        self.wait()

    def fill_in(self, licenses: list[str]) -> list[str]:
        """Make tables with many licenses, machines and audit; the ids of these keys' licenses."""
        schema = files("cli.drill.naive").joinpath("schema.sql").read_bytes()
        with self.connection() as connection:
            connection.execute(schema)
            connection.execute(_AUDIT)
            connection.execute(_FACTS)
            connection.execute(
                "INSERT INTO licenses (key, name) SELECT 'OTHER-' || n, 'drill' "
                "FROM generate_series(1, %s) n",
                (_OTHERS,),
            )
            ids = [
                str(row[0])
                for row in connection.execute(
                    "INSERT INTO licenses (key, name) SELECT unnest(%s::text[]), 'drill' "
                    "RETURNING id",
                    (licenses,),
                )
            ]
            connection.execute(
                "INSERT INTO machines (license_id, fingerprint) SELECT id, md5(id::text || n) "
                "FROM licenses, generate_series(1, %s) n",
                (_MACHINES_EACH,),
            )
            connection.execute(
                "INSERT INTO audit (license_id, what) SELECT gen_random_uuid(), 'machine ' || n "
                "|| ' was activated by a product on a customer''s computer' "
                "FROM generate_series(1, %s) n",
                (_AUDITED,),
            )
            connection.execute("ANALYZE")
            return ids

    def trim(self) -> None:
        """Give back what the log of changes keeps for later: it would hide a full disk."""
        with self.connection() as connection:
            for _ in range(4):
                connection.execute("SELECT pg_switch_wal()")
                connection.execute("CHECKPOINT")

    def reindex(self, held_s: float) -> str | None:
        """Rebuild the indexes of the machines under the table's lock; what Postgres said to that.

        The lock is held for `held_s` before the rebuild begins. None: it came to its end.
        """
        try:
            with self.connection() as connection, connection.transaction():
                connection.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                connection.execute("SELECT pg_sleep(%s)", (held_s,))
                connection.execute(f"REINDEX TABLE {TABLE}")
        except psycopg.Error as error:
            return self._panic() or str(error).strip().splitlines()[0]
        return None

    def press(self, limit_s: float) -> str | None:
        """Insert until nothing fits any more, on a full volume; what Postgres said at last."""
        deadline = time.monotonic() + limit_s
        said: str | None = None
        for size in _FILLER_SIZES:
            in_vain = 0
            while in_vain < _IN_VAIN and time.monotonic() < deadline:
                try:
                    with self.connection() as connection:
                        while time.monotonic() < deadline:
                            connection.execute(_FILLER, (f"{time.monotonic_ns()}", size))
                            in_vain = 0
                except psycopg.errors.DiskFull as error:
                    in_vain += 1
                    said = str(error).strip().splitlines()[0]
                except psycopg.Error:
                    # A panic: it answers again once it has recovered.
                    time.sleep(0.1)
        return said

    def lock(self) -> None:
        """Lock the licenses, until it hangs or dies."""
        self._locked = psycopg.connect(self.url, connect_timeout=_ASK_S)
        self._locked.execute("LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE")

    def hang(self) -> None:
        """Stop all its processes where they are (SIGSTOP)."""
        for one in self._all():
            processes.send(one, signal.SIGSTOP)

    def die(self) -> None:
        """Kill all its processes."""
        for one in self._all():
            processes.send(one, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_START_S)
        if self._locked is not None:
            with suppress(psycopg.Error):
                self._locked.close()

    def wait(self, limit_s: float = _START_S) -> None:
        """Wait until it answers. Raises `Failed`."""
        deadline = time.monotonic() + limit_s
        while not self.answers():
            if time.monotonic() > deadline or not self._lives():
                raise Failed(f"Postgres doesn't answer:\n{self._scratch.last_words(NAME)}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether it answers a query."""
        try:
            with self.connection(2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    @contextmanager
    def connection(self, patience_s: int = _ASK_S) -> Iterator[psycopg.Connection]:
        """One that commits each statement. Raises `psycopg.Error`."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=patience_s) as connection:
            yield connection

    def _lives(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _all(self) -> list[Process]:
        if self._process is None:
            return []
        own = processes.identify(self._process.pid)
        return [] if own is None else [own, *processes.children_of(own.id)]

    def _panic(self) -> str | None:
        """The panic in the server's log, if there is one."""
        lines = self._scratch.log(NAME).read_text(errors="replace").splitlines()
        found = [line.partition("PANIC:")[2].strip() for line in lines if "PANIC:" in line]
        return f"PANIC: {found[-1]}" if found else None

    @property
    def _data(self) -> str:
        return str(self._volume.path / DATA)

    def _program(self, name: str) -> str:
        folder = programs()
        if folder is None:
            raise Failed("Postgres is gone")
        return str(folder / name)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
