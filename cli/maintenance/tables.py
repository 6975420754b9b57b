"""A table of a server by its name, and the server's settings."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, Final

import psycopg

from cli.maintenance import connecting, holders
from cli.maintenance.connecting import Connection
from cli.trouble import Failed, Missing

_PARTITIONED: Final = "p"
_FIT: Final = ("r", "m", "t")
TABLE: Final = """
    SELECT c.oid, c.reltoastrelid, c.relkind::text,
           pg_relation_size(c.oid), quote_ident(n.nspname) || '.' || quote_ident(c.relname),
           (SELECT option_value::int FROM pg_options_to_table(c.reloptions)
             WHERE option_name = 'parallel_workers')
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = %s
"""


class Table:
    """A table that is there, by its name and number."""

    def __init__(self, row: Sequence[Any]) -> None:
        self.oid: int = row[0]
        self.toast: int = row[1]
        self.kind: str = row[2]
        self.bytes: int = row[3]
        self.name: str = row[4]
        """With its schema, in quotes where SQL wants them."""
        self.workers: int | None = row[5]


def find(connection: Connection, name: str) -> Table:
    """The table of a name, which may have its schema. Raises `Missing`, with near names."""
    if first(connection, "SELECT pg_is_in_recovery()")[0]:
        raise Missing("this server is a standby, where nothing can be reindexed: ask the primary")
    try:
        [oid] = first(connection, "SELECT to_regclass(%s)::oid", name)
    except psycopg.Error:
        oid = None
    try:
        row = None if oid is None else connection.execute(TABLE, (oid,)).fetchone()
    except psycopg.errors.LockNotAvailable:
        raise locked(connection, oid, name) from None
    if row is None:
        raise Missing(
            f"there is no table {name!r} in {connecting.where(connection)}{_near(connection, name)}"
        )
    table = Table(row)
    if table.kind == _PARTITIONED:
        raise Missing(
            f"{table.name} is partitioned: plan each of its partitions{_parts(connection, table)}"
        )
    if table.kind not in _FIT:
        raise Missing(f"{table.name} is no table")
    return table


def locked(connection: Connection, oid: int, name: str) -> Failed:
    """What is said of a table that somebody else has for himself."""
    found = holders.find(connection, oid, concurrently=False)
    who = "; ".join(holders.said(one) for one in found) or "somebody"
    return Failed(f"{name} is locked now, so nothing can be read of it: {who}")


def setting(connection: Connection, name: str) -> str:
    """A setting of the server's, in its base unit."""
    return str(first(connection, "SELECT setting FROM pg_settings WHERE name = %s", name)[0])


def _near(connection: Connection, name: str) -> str:
    rows = connection.execute(
        "SELECT quote_ident(n.nspname), c.relname, quote_ident(c.relname) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' "
        "AND n.nspname <> 'information_schema'"
    ).fetchall()
    names = {row[1] for row in rows}
    last = name.rpartition(".")[2].strip('"').lower()
    near = {*get_close_matches(last, names, n=3)} | {one for one in names if one.lower() == last}
    shown = [f"{schema}.{quoted}" for schema, table, quoted in rows if table in near]
    return f"; near: {', '.join(sorted(shown)[:5])}" if shown else ""


def _parts(connection: Connection, table: Table) -> str:
    rows = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s ORDER BY 1 LIMIT 4",
        (table.oid,),
    ).fetchall()
    return f" ({', '.join(row[0] for row in rows)} …)" if rows else ""


def first(connection: Connection, statement: Any, *values: object) -> Any:  # noqa: ANN401 - a row
    """The first row of what always has one."""
    row = connection.execute(statement, values or None).fetchone()
    assert row is not None  # noqa: S101 - each of these has one
    return row
