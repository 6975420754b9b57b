"""The file systems that a server writes to, where they can be seen from here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from cli.maintenance.connecting import Connection
from cli.maintenance.facts import Place
from cli.trouble import Missing

_PG_DEFAULT: Final = 1663
_SEGMENT_NAME: Final = 24


class Unseen(Exception):
    """The server's files can't be seen from here; the message says why."""


class DataDirectory:
    """A server's data directory as it is seen from here, and what lies outside of it.

    `above`: what stands before each path of the server's, e.g. of another mount namespace.
    """

    def __init__(self, connection: Connection, given: Path | None) -> None:
        own = _setting(connection, "data_directory")
        if given is None and own is None:
            raise Unseen(
                "this role may not read where the server's data directory is: "
                "--data-directory PATH if it is on this machine, else --free SIZE"
            )
        self.path = Path(given or str(own))
        text = str(self.path)
        self._above = text[: -len(own)] if own and text.endswith(own) else ""
        self._check(connection, given)

    def _check(self, connection: Connection, given: Path | None) -> None:
        row = connection.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
        way = "--data-directory PATH if it is on this machine, else --free SIZE"
        try:
            with (self.path / "global" / "pg_control").open("rb") as file:
                found = int.from_bytes(file.read(8), sys.byteorder)
        except FileNotFoundError:
            said = f"there is no data directory of a Postgres at {self.path} here"
            if given is not None:
                raise Missing(f"--data-directory: {said}") from None
            raise Unseen(f"{said}: {way}") from None
        except OSError as error:
            raise Unseen(
                f"{self.path} can't be read here ({error.strerror}): run this as root or as the "
                "server's own user, or give --free SIZE"
            ) from None
        if row is None or found != int(row[0]) % (1 << 64):
            said = f"{self.path} is the data directory of another server"
            if given is not None:
                raise Missing(f"--data-directory: {said}")
            raise Unseen(f"{said}: {way}")

    def tablespace(self, connection: Connection, oid: int) -> Path:
        """Where a tablespace lies."""
        if oid == _PG_DEFAULT:
            return self.path
        row = connection.execute("SELECT pg_tablespace_location(%s)", (oid,)).fetchone()
        return Path(self._above + row[0]) if row and row[0] else self.path

    @property
    def wal(self) -> Path:
        """Where the WAL lies."""
        place = self.path / "pg_wal"
        if not place.is_symlink():
            return place
        target = place.readlink()
        return Path(f"{self._above}{target}") if target.is_absolute() else place

    def recycled_segments(self, current: str) -> int:
        """Segments after the current one: they will be written over."""
        names = [one.name for one in self.wal.iterdir()]
        return sum(len(name) == _SEGMENT_NAME and name > current for name in names)


def find(
    connection: Connection, directory: DataDirectory, tablespaces: list[int], sorts_in: int
) -> list[Place]:
    """File systems of the tablespaces, of sorts and of the WAL, each once."""
    paths = {oid: directory.tablespace(connection, oid) for oid in sorted({*tablespaces, sorts_in})}
    found: dict[int, Place] = {}
    for path in [*paths.values(), directory.wal]:
        device = path.stat().st_dev
        seen = found.get(device) or _look(path)
        on = [oid for oid in tablespaces if paths[oid] == path]
        found[device] = replace(
            seen,
            tablespaces=sorted({*seen.tablespaces, *on}),
            sorts=seen.sorts or paths[sorts_in] == path,
            wal=seen.wal or path == directory.wal,
        )
    return list(found.values())


def told(free: int, tablespaces: list[int]) -> list[Place]:
    """The one file system that somebody has told the free space of."""
    return [
        Place(
            path="the disk (by --free)",
            total_bytes=None,
            free_bytes=free,
            tablespaces=tablespaces,
            sorts=True,
            wal=True,
        )
    ]


def free(path: str) -> tuple[int, int]:
    """What is free on the file system of a path, for who isn't root, and its size."""
    seen = os.statvfs(path)
    return seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize


def _look(path: Path) -> Place:
    free_bytes, total = free(str(path))
    return Place(
        path=str(path),
        total_bytes=total,
        free_bytes=free_bytes,
        tablespaces=[],
        sorts=False,
        wal=False,
    )


def _setting(connection: Connection, name: str) -> str | None:
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", (name,)).fetchone()
    return None if row is None else str(row[0])
