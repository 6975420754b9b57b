"""The session that builds indexes: found, looked at, and ended. No lock on any table is taken."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from cli.maintenance import figures
from cli.maintenance.connecting import Connection
from cli.maintenance.progress import Build
from cli.maintenance.sampling import catalog_entry_bytes, columns
from cli.trouble import Missing

_STATEMENT: Final = r"(^|;)\s*(reindex|create\s+(unique\s+)?index)\M"
_ONE: Final = re.compile(r"\breindex\s*(\([^)]*\)\s*)?index\b", re.IGNORECASE)
_WAITSTART: Final = 140_000

_FIND: Final = """
    SELECT a.pid, a.backend_start, a.query_start, a.xact_start, a.usename, a.query
      FROM pg_stat_activity a
      LEFT JOIN pg_stat_progress_create_index p ON p.pid = a.pid
     WHERE a.datname = current_database() AND a.backend_type = 'client backend'
       AND a.state = 'active' AND a.pid <> pg_backend_pid()
       AND (a.pid = %(pid)s
            OR (%(pid)s::int IS NULL AND (p.pid IS NOT NULL OR a.query ~* %(statement)s)))
     ORDER BY a.query_start
"""
# One that ends a statement without ending its transaction still has all its locks.
_LOOK: Final = """
    SELECT a.state = 'active' AND a.query_start = %(query)s
               OR a.state IN ('active', 'idle in transaction') AND a.xact_start = %(xact)s,
           a.state = 'active', coalesce(p.command, ''), coalesce(p.phase, ''),
           coalesce(p.relid, 0)::bigint, coalesce(p.index_relid, 0)::bigint,
           coalesce(p.blocks_done, 0), coalesce(p.blocks_total, 0),
           coalesce(p.tuples_done, 0), coalesce(p.tuples_total, 0)
      FROM pg_stat_activity a
      LEFT JOIN pg_stat_progress_create_index p ON p.pid = a.pid
     WHERE a.pid = %(pid)s AND a.backend_start = %(backend)s
"""
_INDEXES: Final = """
    SELECT i.indexrelid::bigint, c.relname, c.relpages, c.reltuples::float8,
           c.relfilenode::bigint, i.indisvalid
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE i.indrelid IN (%(table)s,
                          (SELECT nullif(reltoastrelid, 0) FROM pg_class WHERE oid = %(table)s))
     ORDER BY i.indrelid <> %(table)s, i.indexrelid
"""


class Target(Struct, frozen=True, kw_only=True):
    """The session of an operation, told from a later one with the same process id."""

    pid: int
    backend_start: datetime
    query_start: datetime
    xact_start: datetime | None
    user: str
    statement: str

    @property
    def one_index(self) -> bool:
        """Whether a single index is built anew."""
        return _ONE.search(self.statement) is not None


class Seen(Struct, frozen=True, kw_only=True):
    """A look at it. `active`: its statement runs; else only its transaction is still open."""

    active: bool
    command: str
    table: int
    index: int
    build: Build


class Index(Struct, frozen=True, kw_only=True):
    """An index of the table, as the catalog has it. `weight`: how much work it is."""

    oid: int
    name: str
    file: int
    valid: bool
    weight: float


class Waiting(Struct, frozen=True, kw_only=True):
    """Who waits behind it, for how long at most, and whom it waits for itself."""

    sessions: int = 0
    longest_s: float = 0.0
    waits_for: Sequence[int] = ()


def find(connection: Connection, pid: int | None) -> Target | None:
    """The running operation; None: there is none yet. Raises `Missing` where there are several."""
    rows = connection.execute(_FIND, {"pid": pid, "statement": _STATEMENT}).fetchall()
    if len(rows) > 1:
        listed = "; ".join(f"--pid {row[0]}: {_short(row[5])}" for row in rows)
        raise Missing(f"several run, say which: {listed}")
    if not rows:
        return None
    [row] = rows
    return Target(
        pid=row[0],
        backend_start=row[1],
        query_start=row[2],
        xact_start=row[3],
        user=row[4],
        statement=" ".join(row[5].split()),
    )


def look(connection: Connection, target: Target) -> Seen | None:
    """How far it is; None: it has ended."""
    row = connection.execute(
        _LOOK,
        {
            "pid": target.pid,
            "backend": target.backend_start,
            "query": target.query_start,
            "xact": target.xact_start,
        },
    ).fetchone()
    if row is None or not row[0]:
        return None
    return Seen(
        active=row[1],
        command=row[2],
        table=row[4],
        index=row[5],
        build=Build(
            phase=row[3],
            blocks_done=row[6],
            blocks_total=row[7],
            rows_done=row[8],
            rows_total=row[9],
        ),
    )


def indexes(connection: Connection, table: int) -> list[Index]:
    """Indexes of a table, in the order in which REINDEX TABLE builds them.

    By the catalog alone: whoever reads the table itself waits behind the REINDEX.
    """
    setting = connection.execute("SELECT current_setting('block_size')::int").fetchone()
    page = setting[0] if setting else 0
    return [
        Index(
            oid=row[0],
            name=row[1],
            file=row[4],
            valid=row[5],
            weight=_weight(connection, row, page),
        )
        for row in connection.execute(_INDEXES, {"table": table}).fetchall()
    ]


def _weight(connection: Connection, row: Sequence[Any], page: int) -> float:
    entry = catalog_entry_bytes(columns(connection, row[0], texts=False))
    now, rows = float(row[2]) * page, float(row[3])
    if entry is None or rows <= 0:
        return max(now, page)
    # Rows that share a key take less room then, but are read and sorted one by one.
    return figures.by_rows(rows, entry, page=page, fillfactor=90)


def waiting(connection: Connection, target: Target) -> Waiting:
    """Who waits behind it, and whom it waits for."""
    # Postgres 13 doesn't say since when a lock is waited for.
    since = "l.waitstart" if connection.info.server_version >= _WAITSTART else "a.query_start"
    row = connection.execute(
        "SELECT count(DISTINCT l.pid), "  # noqa: S608 - one of two columns
        f"coalesce(extract(epoch FROM max(clock_timestamp() - {since})), 0)::float8, "
        "pg_blocking_pids(%(pid)s) "
        "FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        "WHERE NOT l.granted AND %(pid)s = ANY (pg_blocking_pids(l.pid))",
        {"pid": target.pid},
    ).fetchone()
    if row is None:
        return Waiting()
    return Waiting(sessions=row[0], longest_s=row[1], waits_for=row[2])


def may_end(connection: Connection, target: Target) -> bool:
    """Whether this role may end it."""
    row = connection.execute(
        "SELECT me.rolsuper OR pg_has_role(them.oid, 'USAGE') "
        "OR (NOT them.rolsuper AND pg_has_role('pg_signal_backend', 'USAGE')) "
        "FROM pg_roles me, pg_roles them WHERE me.rolname = current_user AND them.rolname = %s",
        (target.user,),
    ).fetchone()
    return row is not None and bool(row[0])


def end(connection: Connection, target: Target, *, by_force: bool) -> None:
    """Have its statement cancelled, or its session ended; nothing where it is over."""
    function = "pg_terminate_backend" if by_force else "pg_cancel_backend"
    connection.execute(
        f"SELECT {function}(pid) FROM pg_stat_activity "  # noqa: S608 - one of two functions
        "WHERE pid = %s AND backend_start = %s AND (query_start = %s OR xact_start = %s)",
        (target.pid, target.backend_start, target.query_start, target.xact_start),
    )


def _short(statement: str) -> str:
    text = " ".join(statement.split())
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004 - one line
