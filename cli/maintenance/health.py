"""What is due in a database: indexes that may be wrong, are invalid, or waste room. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, Final

import psycopg
from msgspec import Struct

from cli.maintenance import asking, connecting, tables
from cli.maintenance.connecting import Connection
from cli.maintenance.facts import IndexFacts
from cli.maintenance.orphans import orphans
from cli.maintenance.rebuilt import new_size
from cli.maintenance.size import size
from cli.trouble import Failed

_NOT_NOW: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.InsufficientPrivilege,
)
WASTE_BYTES: Final = 32 << 20
WASTE_SHARE: Final = 0.4
"""Of an index, from which on it is due; one that only grew at random is a quarter empty."""
_REFRESH: Final = 150_000
_TABLES: Final = """
    SELECT DISTINCT t.oid FROM pg_class t
      JOIN pg_namespace n ON n.oid = t.relnamespace
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class c ON c.oid = i.indexrelid
     WHERE t.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND t.relpersistence <> 't'
       AND n.nspname <> 'information_schema'
       AND c.relpages * current_setting('block_size')::bigint >= %s
"""
# What is just being built is invalid, too.
_INVALID: Final = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), i.indrelid::regclass::text,
           c.relpages * current_setting('block_size')::bigint, c.relname ~ '_cc(new|old)[0-9]*$'
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i'
       AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = i.indrelid)
     ORDER BY 1
"""
_COLLATIONS: Final = """
    SELECT l.oid, quote_ident(n.nspname) || '.' || quote_ident(l.collname), l.collversion,
           pg_collation_actual_version(l.oid)
      FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
     WHERE l.collversion <> pg_collation_actual_version(l.oid)
"""
_DATABASE: Final = """
    SELECT 'pg_catalog.default'::regcollation::oid, quote_ident(datname), datcollversion,
           pg_database_collation_actual_version(oid)
      FROM pg_database
     WHERE datname = current_database()
       AND datcollversion <> pg_database_collation_actual_version(oid)
"""
_BY_COLLATION: Final = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), i.indrelid::regclass::text,
           i.indisunique,
           c.relpages * current_setting('block_size')::bigint
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'i' AND %s = ANY (i.indcollation::oid[])
     ORDER BY i.indisunique DESC, 4 DESC
"""
_AGES: Final = """
    SELECT c.oid::regclass::text, age(c.relfrozenxid),
           current_setting('autovacuum_freeze_max_age')::bigint
      FROM pg_class c
     WHERE c.relkind IN ('r', 'm', 't')
       AND age(c.relfrozenxid) > 1.5 * current_setting('autovacuum_freeze_max_age')::bigint
     ORDER BY 2 DESC LIMIT 5
"""


class Due(Struct, frozen=True, kw_only=True):
    """Something that is to be done. `bytes`: room that it gives back; `do`: statements, in order.

    `kind`: `collation`, `invalid`, `bloat`, `orphans`, `wraparound`.
    """

    kind: str
    what: str
    table: str
    said: str
    bytes: int
    do: Sequence[str]


class Health(Struct, frozen=True, kw_only=True):
    """What is due, what matters most first, and what could not be looked at."""

    server: str
    version: str
    looked_at: int
    due: Sequence[Due]
    unknown: Sequence[str]


def examine(database: str | None, *, data_directory: Path | None = None) -> Health:
    """Look at the database. Raises `Missing`, `Failed` and `DatabaseAway`."""
    connection = connecting.connect(
        database, timeout_ms=asking.STATEMENT_MS, lock_timeout_ms=asking.LOCK_MS
    )
    unknown: list[str] = []
    parts: list[Callable[[], Iterator[Due]]] = [
        lambda: _collations(connection),
        lambda: _wraparound(connection),
        lambda: _invalid(connection),
        lambda: _orphans(connection, data_directory, unknown),
    ]
    try:
        with connection:
            tables = [row[0] for row in connection.execute(_TABLES, (WASTE_BYTES,))]
            found = [one for part in parts for one in part()]
            bloated = [one for oid in tables for one in _bloat(connection, oid, unknown)]
            return Health(
                server=connecting.where(connection),
                version=connecting.version(connection),
                looked_at=len(tables),
                due=[*found, *sorted(bloated, key=lambda one: -one.bytes)],
                unknown=unknown,
            )
    except psycopg.errors.QueryCanceled:
        raise Failed("the server is too slow now to answer within 30 s: nothing is known") from None
    except psycopg.OperationalError as error:
        raise connecting.away(error) from None


def _collations(connection: Connection) -> Iterator[Due]:
    """Indexes whose order the operating system or ICU has changed: what they find may be wrong."""
    changed = [
        (f"ALTER COLLATION {row[1]} REFRESH VERSION", *row)
        for row in _rows(connection, _COLLATIONS)
    ]
    if connection.info.server_version >= _REFRESH:
        changed += [
            (f"ALTER DATABASE {row[1]} REFRESH COLLATION VERSION", *row)
            for row in _rows(connection, _DATABASE)
        ]
    for refresh, oid, name, then, now in changed:
        listed = connection.execute(_BY_COLLATION, (oid,)).fetchall()
        for index, table, unique, pages in listed:
            risk = "may find nothing, or let a key in twice" if unique else "may find nothing"
            yield Due(
                kind="collation",
                what=index,
                table=table,
                said=f"built in the order of {name} {then}, which is {now} now: it {risk} "
                f"({size(pages)})",
                bytes=0,
                do=[f"REINDEX INDEX CONCURRENTLY {index}"],
            )
        after = "once all of its indexes are built anew" if listed else "no index is in its order"
        yield Due(
            kind="collation",
            what=name,
            table="",
            said=f"recorded as {then}, is {now} now: {after}",
            bytes=0,
            do=[refresh],
        )


def _invalid(connection: Connection) -> Iterator[Due]:
    for index, table, held, left_behind in _rows(connection, _INVALID):
        if left_behind:
            said, do = "left by a REINDEX CONCURRENTLY that failed", "DROP INDEX CONCURRENTLY"
        else:
            said, do = "no query uses it, every write keeps it up", "REINDEX INDEX CONCURRENTLY"
        yield Due(
            kind="invalid",
            what=index,
            table=table,
            said=f"invalid: {said}",
            bytes=held if left_behind else 0,
            do=[f"{do} {index}"],
        )


def _bloat(connection: Connection, oid: int, unknown: list[str]) -> Iterator[Due]:
    """Indexes of a table that would be much smaller if they were built anew."""
    page = int(tables.setting(connection, "block_size"))
    try:
        row = connection.execute(tables.TABLE, (oid,)).fetchone()
        if row is None:
            return
        table = tables.Table(row)
        _, indexes = asking.ask_indexes(connection, table, unknown)
    except _NOT_NOW as error:
        named = connection.execute("SELECT %s::regclass::text", (oid,)).fetchone()
        unknown.append(f"{named[0] if named else oid}: {error.diag.message_primary}")
        return
    for index in indexes:
        wasted = index.bytes - round(new_size(index, page)[0])
        if not index.valid or wasted < max(WASTE_BYTES, WASTE_SHARE * index.bytes):
            continue
        yield Due(
            kind="bloat",
            what=index.name,
            table=table.name,
            said=_wastes(index, wasted),
            bytes=wasted,
            do=[
                f"ledger maintenance plan reindex {quote(table.name)} --concurrently",
                f"REINDEX INDEX CONCURRENTLY {index.name}",
            ],
        )


def _wastes(index: IndexFacts, wasted: int) -> str:
    left = index.bytes - wasted
    return f"{size(index.bytes)}, built anew about {size(left)}"


def _wraparound(connection: Connection) -> Iterator[Due]:
    for table, age, most in _rows(connection, _AGES):
        yield Due(
            kind="wraparound",
            what=table,
            table=table,
            said=f"{age:,} transactions since it was frozen, where autovacuum begins at {most:,}; "
            "at 2,147 million the server takes no more writes",
            bytes=0,
            do=[f"VACUUM (FREEZE, INDEX_CLEANUP OFF) {table}"],
        )


def _orphans(
    connection: Connection, data_directory: Path | None, unknown: list[str]
) -> Iterator[Due]:
    """Files that no table has, left by a crash while indexes were built."""
    found = orphans(connection, data_directory, unknown)
    if found:
        yield Due(
            kind="orphans",
            what=f"{len(found)} files in {found[0].parent}",
            table="",
            said="no table or index has them: left by a crash. Postgres never removes them: "
            + ", ".join(one.name for one in found[:5])
            + (" …" if len(found) > 5 else ""),  # noqa: PLR2004 - a few are enough
            bytes=sum(one.stat().st_size for one in found),
            do=["docs/operations/maintenance.md#files-that-nothing-knows"],
        )


def _rows(connection: Connection, statement: str) -> list[Any]:
    return connection.execute(statement.encode()).fetchall()
