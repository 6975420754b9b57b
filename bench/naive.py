"""The naive service and its Postgres, running, with licenses in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from uuid import UUID

import psycopg
from msgspec import Struct

from tests.ports import free_ports
from tests.postgres import PostgresServer
from tests.system import Program

SCHEMA = files("cli.drill.naive").joinpath("schema.sql")


class Naive(Struct, frozen=True, kw_only=True):
    """Both processes, and the licenses: (id, key) each, without a limit, with one machine."""

    service: Program
    database: PostgresServer
    licenses: list[tuple[str, str]]

    @property
    def url(self) -> str:
        """The service's."""
        return self.service.url


@contextmanager
def naive(directory: Path, licenses: int) -> Iterator[Naive]:
    """Start both with so many licenses; they are stopped and forgotten however the block ends."""
    (port,) = free_ports(1)
    database = PostgresServer()
    env = {"NAIVE_DATABASE_URL": database.url, "NAIVE_PORT": str(port)}
    service = Program(directory / "naive", "cli.drill.naive", port=port, env=env)
    try:
        database.start()
        issued = _filled(database, licenses)
        service.start()
        yield Naive(service=service, database=database, licenses=issued)
    finally:
        service.stop()
        database.remove()


def _filled(database: PostgresServer, licenses: int) -> list[tuple[str, str]]:
    with psycopg.connect(database.url) as connection:
        connection.execute(SCHEMA.read_bytes())
        rows: list[tuple[UUID, str]] = connection.execute(
            "INSERT INTO licenses (key, name) SELECT 'NAIVE-' || n, 'bench' "
            "FROM generate_series(1, %s) n RETURNING id, key",
            (licenses,),
        ).fetchall()
        connection.execute(
            "INSERT INTO machines (license_id, fingerprint) SELECT id, 'first of ' || id "
            "FROM licenses"
        )
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    return [(str(id_), key) for id_, key in rows]
