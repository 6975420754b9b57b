"""The facts of a table, asked of its server with read access alone.

Each look is short and waits for no lock longer than half a second, so that nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg
from msgspec.structs import replace
from psycopg import sql

from cli.maintenance import connecting, figures, holders, places, wal
from cli.maintenance.connecting import Connection
from cli.maintenance.facts import Facts, IndexFacts, Place
from cli.maintenance.sampling import (
    Wanted,
    columns,
    distinct_keys,
    entry_expression,
    sample,
)
from cli.maintenance.tables import Table, find, first, locked, setting

STATEMENT_MS: Final = 30_000
LOCK_MS: Final = 500
LEAVES_READ_MAX: Final = 1 << 30
"""Indexes up to this size are read whole by pgstatindex, where that is installed."""
SAMPLED_MIN: Final = 100
"""Of a partial index; with fewer of its rows in a sample Postgres' own count is asked, too."""
_BTREE: Final = "btree"

INDEXES: Final = """
    SELECT i.indexrelid, quote_ident(n.nspname), quote_ident(c.relname), am.amname,
           i.indisunique, i.indisvalid,
           coalesce(nullif(c.reltablespace, 0),
                    (SELECT dattablespace FROM pg_database WHERE datname = current_database())),
           c.reltuples::float8,
           (SELECT option_value::int FROM pg_options_to_table(c.reloptions)
             WHERE option_name = 'fillfactor'),
           pg_get_expr(i.indpred, i.indrelid),
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = i.indexrelid
                      AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)),
           i.indrelid, pg_relation_size(i.indexrelid)
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_am am ON am.oid = c.relam
     WHERE i.indrelid IN (%(table)s, %(toast)s)
     ORDER BY i.indrelid = %(toast)s, i.indexrelid
"""


def ask(
    connection: Connection,
    name: str,
    *,
    concurrently: bool,
    data_directory: Path | None,
    free_bytes: int | None,
) -> Facts:
    """Ask for all that a plan rests on. Raises `Missing` and `Failed`, naming what is wrong."""
    table = find(connection, name)
    block = int(setting(connection, "block_size"))
    unknown: list[str] = []
    memory = int(setting(connection, "maintenance_work_mem")) << 10
    try:
        rows, indexes = ask_indexes(connection, table, unknown)
    except psycopg.errors.LockNotAvailable:
        raise locked(connection, table.oid, table.name) from None
    if concurrently:
        # It passes over those that are invalid.
        indexes = [one for one in indexes if one.valid]
    found, why = _places(connection, indexes, data_directory, free_bytes)
    return Facts(
        table=table.name,
        server=connecting.where(connection),
        version=connecting.version(connection),
        page_bytes=block,
        table_bytes=table.bytes,
        rows=rows,
        memory_bytes=memory,
        workers=figures.build_workers(
            table.bytes // block,
            at_least=1
            if table.workers
            else int(setting(connection, "min_parallel_table_scan_size")),
            most=_most_workers(connection, table),
            memory=memory,
        ),
        indexes=indexes,
        wal=wal.ask(connection, data_directory),
        holders=holders.find(connection, table.oid, concurrently=concurrently),
        places=found,
        no_places=why,
        unknown=unknown,
    )


def ask_indexes(
    connection: Connection, table: Table, unknown: list[str]
) -> tuple[float, list[IndexFacts]]:
    """Rows of a table, and its indexes in the order in which REINDEX TABLE builds them."""
    listed = connection.execute(INDEXES, {"table": table.oid, "toast": table.toast}).fetchall()
    own, wanted = [columns(connection, row[0]) for row in listed], []
    for row, each in zip(listed, own, strict=True):
        predicate, foreign, of_toast = row[9], row[10], row[11] != table.oid
        if row[3] != _BTREE or of_toast:
            wanted.append(Wanted(entry=None, predicate=None, keys=None))
            continue
        keys = ", ".join(f"({one.text})" for one in each if one.key)
        runs = any(one.expression for one in each) or predicate is not None
        wanted.append(
            Wanted(
                entry=entry_expression(each, foreign=foreign),
                predicate=None if foreign else predicate,
                keys=None if foreign and runs else keys,
            )
        )
    pages = table.bytes // int(setting(connection, "block_size"))
    rows, sampled = sample(connection, f"ONLY {table.name}", pages, wanted)
    leaves = _Leaves(connection)
    found = []
    for row, each, got in zip(listed, own, sampled, strict=True):
        index = IndexFacts(
            oid=row[0],
            name=f"{row[1]}.{row[2]}",
            method=row[3],
            unique=row[4],
            valid=row[5],
            tablespace=row[6],
            fillfactor=row[8] or 90,
            bytes=row[12],
            rows=got.rows,
            entry_bytes=got.entry_bytes,
            sample_s=got.sample_s,
            sampled=got.sampled,
            keys=distinct_keys(each, got.rows),
        )
        if row[11] != table.oid:
            # Nobody but a superuser may read there; its two keys have a fixed size.
            index = replace(
                index, rows=max(0.0, row[7]), entry_bytes=16.0, sample_s=None, sampled=0
            )
        elif row[9] is not None and (row[10] or got.sampled < SAMPLED_MIN):
            # A part of the table that a sample has seen little of, or may not tell.
            index = replace(index, rows=max(row[7], 0.0 if row[10] else got.rows))
        found.append(leaves.of(index))
    if leaves.unknown:
        unknown.append(leaves.unknown)
    return rows, found


class _Leaves:
    """How full leaves are, by pgstatindex, where that is installed and may be called."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.unknown = ""
        row = connection.execute(
            "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
            "WHERE e.extname = 'pgstattuple'"
        ).fetchone()
        self._schema: str | None = None if row is None else row[0]

    def of(self, index: IndexFacts) -> IndexFacts:
        """Add it to what is known of an index."""
        if index.bytes > LEAVES_READ_MAX or self._schema is None:
            return index
        if not index.valid or index.method != _BTREE:
            return index
        call = sql.SQL("SELECT leaf_pages, avg_leaf_density FROM {}(%s::oid::regclass)").format(
            sql.Identifier(self._schema, "pgstatindex")
        )
        try:
            row = self._connection.execute(call, (index.oid,)).fetchone()
        except psycopg.Error as error:
            self.unknown = f"pgstatindex could not be asked: {error.diag.message_primary}"
            return index
        if row is None or row[1] != row[1]:  # NaN: of an empty index
            return index
        return replace(index, leaf_pages=int(row[0]), leaf_density=float(row[1]))


def _places(
    connection: Connection,
    indexes: Sequence[IndexFacts],
    data_directory: Path | None,
    free_bytes: int | None,
) -> tuple[Sequence[Place], str]:
    tablespaces = sorted({one.tablespace for one in indexes})
    if free_bytes is not None:
        return places.told(free_bytes, tablespaces), ""
    # Sorts go to the first of the session's tablespaces for them, else to the database's own.
    [sorts_in] = first(
        connection,
        "SELECT coalesce((SELECT oid FROM pg_tablespace WHERE spcname = "
        "btrim(split_part(current_setting('temp_tablespaces'), ',', 1), ' \"')), dattablespace) "
        "FROM pg_database WHERE datname = current_database()",
    )
    try:
        directory = places.DataDirectory(connection, data_directory)
        return places.find(connection, directory, tablespaces, sorts_in), ""
    except places.Unseen as error:
        return (), str(error)
    except OSError as error:
        return (), f"{error.filename} can't be looked at: {error.strerror}"


def _most_workers(connection: Connection, table: Table) -> int:
    most = int(setting(connection, "max_parallel_maintenance_workers"))
    return most if table.workers is None else min(most, table.workers)
