"""A Postgres with a table of machines, for a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.maintenance.shapes import fill
from tests.cli.maintenance.volume import connect, started
from tests.postgres import PostgresServer

ROWS = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    settings = {"autovacuum": "off", "max_prepared_transactions": "5", "fsync": "off"}
    with started(PostgresServer(settings)) as server:
        with connect(server) as connection:
            fill(connection, "machines", ROWS)
        yield server
