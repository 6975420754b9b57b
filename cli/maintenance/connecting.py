"""A connection to a vendor's Postgres: in nobody's way, and no password is ever shown."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, tuple_row

from cli.trouble import Away, Missing

CONNECT_S: Final = 5
OLDEST: Final = 130_000
NAME: Final = "ledger maintenance"

Connection: TypeAlias = psycopg.Connection[TupleRow]


class DatabaseAway(Away):
    """The Postgres can't be reached, or ended the connection."""


def connect(database: str | None, *, timeout_ms: int, lock_timeout_ms: int) -> Connection:
    """Connect, to read only; None: by libpq's own variables. Raises `Missing`, `DatabaseAway`.

    It waits for no lock longer than `lock_timeout_ms`, and for no statement than `timeout_ms`.
    """
    try:
        given: dict[str, Any] = dict(conninfo_to_dict(database or ""))
    except psycopg.ProgrammingError:
        # What libpq says of it may have the password in it.
        raise Missing(
            "--database (or LEDGER_MAINTENANCE_DATABASE) is no address of a Postgres: "
            "postgresql://USER@HOST:5432/DATABASE"
        ) from None
    given.setdefault("connect_timeout", CONNECT_S)
    given.setdefault("application_name", NAME)
    given["options"] = " ".join(
        [
            str(given.get("options") or ""),
            "-c default_transaction_read_only=on",
            f"-c statement_timeout={timeout_ms}",
            f"-c lock_timeout={lock_timeout_ms}",
            "-c idle_in_transaction_session_timeout=60000",
            "-c jit=off",
            # Else rows that a policy hides would be missing from what is counted.
            "-c row_security=off",
            "-c max_parallel_workers_per_gather=0",
        ]
    ).strip()
    try:
        connection = psycopg.connect(**given, autocommit=True, row_factory=tuple_row)
    except psycopg.OperationalError as error:
        raise DatabaseAway(f"the Postgres can't be reached: {_line(error)}") from None
    if connection.info.server_version < OLDEST:
        connection.close()
        raise Missing(f"{where(connection)} is older than Postgres 13, the oldest that is known")
    return connection


def where(connection: Connection) -> str:
    """Who is asked, without a password: user, host, port, database."""
    info = connection.info
    host = info.host or "local socket"
    return f"{info.dbname} on {host}:{info.port} as {info.user}"


def version(connection: Connection) -> str:
    """Its version, as people write it."""
    number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"


def away(error: psycopg.Error) -> DatabaseAway:
    """What is said of a connection that ended."""
    return DatabaseAway(f"the Postgres ended the connection: {_line(error)}")


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__
