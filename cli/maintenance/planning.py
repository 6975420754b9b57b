"""A plan of a running server: asked for, and decided."""

from __future__ import annotations

from pathlib import Path

import psycopg

from cli.maintenance import asking, connecting
from cli.maintenance.plan import Plan, decide
from cli.trouble import Failed


def plan_reindex(
    database: str | None,
    table: str,
    *,
    concurrently: bool = False,
    data_directory: Path | None = None,
    free_bytes: int | None = None,
    reserve_bytes: int | None = None,
) -> Plan:
    """Plan a REINDEX TABLE of a running server; it reads only, and waits for nobody.

    `database`: a URL or connection string, None: by libpq's variables. `data_directory`: the
    server's, as it is seen from here, None: where the server says. `free_bytes`: instead of that.
    Raises `Missing`, `Failed` and `DatabaseAway`, each with a line for people.
    """
    connection = connecting.connect(
        database, timeout_ms=asking.STATEMENT_MS, lock_timeout_ms=asking.LOCK_MS
    )
    where = connecting.where(connection)
    try:
        with connection:
            facts = asking.ask(
                connection,
                table,
                concurrently=concurrently,
                data_directory=data_directory,
                free_bytes=free_bytes,
            )
    except psycopg.errors.InsufficientPrivilege as error:
        raise Failed(
            f"{where} may not read it: {error.diag.message_primary}; "
            "grant it SELECT on the table, and pg_monitor"
        ) from None
    except psycopg.errors.QueryCanceled:
        raise Failed("the server is too slow now to answer within 30 s: nothing is known") from None
    except psycopg.OperationalError as error:
        raise connecting.away(error) from None
    return decide(facts, concurrently=concurrently, reserve_bytes=reserve_bytes)
