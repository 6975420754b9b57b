"""A Postgres on a volume of its own, and what is taken of that at most while something runs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

import psycopg
import pytest

from tests.postgres import PostgresServer

MIB = 1 << 20
_EVERY_S = 0.005
_RELOADED_S = 0.3


class VolumeServer(PostgresServer):
    """A cluster whose data, but not its log, is on a file system of `mb`.

    In memory, or with `disk` an ext4 in a file, which takes no more than what is written.
    """

    def __init__(
        self, mb: int, settings: Mapping[str, str] | None = None, *, disk: bool = False
    ) -> None:
        super().__init__({"autovacuum": "off", **(settings or {})})
        self.volume = self.directory / "volume"
        self.volume.mkdir()
        if os.geteuid() != 0:
            self._skip("a volume of one's own is mounted by root only")
        if disk:
            image = str(self.directory / "volume.ext4")
            self._run("truncate", "--size", f"{mb}M", image)
            self._run("mkfs.ext4", "-q", "-F", "-m", "0", image)
            self._run("mount", "-o", "loop,noatime", image, str(self.volume))
            self.volume.chmod(0o777)
        else:
            size = f"size={mb}m,mode=777"
            self._run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.volume))

    def _run(self, *argv: str) -> None:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        except FileNotFoundError:
            self._skip(f"there is no {argv[0]}")
        if done.returncode:
            self._skip(f"no volume can be made here: {done.stderr.strip()[:100]}")

    def _skip(self, why: str) -> NoReturn:
        self.remove()
        pytest.skip(why)

    @property
    def data_directory(self) -> Path:
        return self.volume / "data"

    @property
    def free_bytes(self) -> int:
        """What is free on its volume."""
        seen = os.statvfs(self.volume)
        return seen.f_bavail * seen.f_frsize

    def leave(self, free_bytes: int) -> None:
        """Have a file take all of the volume but so much."""
        with (self.volume / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free_bytes - free_bytes)

    def trim_wal(self) -> None:
        """Drop the segments that wait to be written over: they would hide how the WAL grows."""
        with connect(self) as connection:
            found = connection.execute("SHOW max_wal_size").fetchone()
            assert found is not None
            self.set(max_wal_size="32MB", min_wal_size="32MB")
            for _ in range(8):
                connection.execute("SELECT pg_switch_wal()")
                connection.execute("CHECKPOINT")
            self.set(max_wal_size=found[0])

    def set(self, **settings: str) -> None:
        """Change settings of the running server, for sessions that begin from now on."""
        with connect(self) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(_RELOADED_S)

    def remove(self) -> None:
        self.stop()
        if os.path.ismount(self.volume):
            subprocess.run(["umount", "--lazy", str(self.volume)], timeout=10, check=True)
        super().remove()


def connect(server: PostgresServer, **more: str) -> psycopg.Connection[Any]:
    """A connection that commits each statement."""
    return psycopg.connect(server.url, autocommit=True, **more)  # type: ignore[arg-type] # libpq's


@contextmanager
def started(server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that is there while the block runs."""
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Peak:
    """What is taken of a volume beyond what was at the block's start, at most."""

    def __init__(self, server: VolumeServer) -> None:
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.free_bytes = server.free_bytes
        self.bytes = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self.seconds = -time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic()
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(_EVERY_S):
            self.bytes = max(self.bytes, self.free_bytes - self._server.free_bytes)
