"""How large the entries of an index are and how long they take to sort, by a sample of the table.

No function that somebody has made is run: an index on one is judged by Postgres' own statistics.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct

from cli.maintenance.connecting import Connection

PAGES: Final = (4_000, 400)
"""Pages that a sample has; the second where the first took too long."""
_ALIGN: Final = {"c": 1, "s": 2, "i": 4, "d": 8}
_SHORT: Final = 130
"""A text up to this size with its long header has a short one in an index."""

_COLUMNS: Final = """
    SELECT a.attnum, CASE WHEN %(texts)s THEN pg_get_indexdef(a.attrelid, a.attnum::int, true) END,
           a.attlen, a.attalign::text,
           i.indkey[a.attnum - 1] = 0, a.attnum <= i.indnkeyatts,
           coalesce(s.avg_width, t.avg_width),
           coalesce(s.n_distinct, t.n_distinct)::float8
      FROM pg_attribute a
      JOIN pg_index i ON i.indexrelid = a.attrelid
      JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class tc ON tc.oid = i.indrelid
      LEFT JOIN pg_attribute ta
             ON ta.attrelid = i.indrelid AND ta.attnum = i.indkey[a.attnum - 1] AND ta.attnum > 0
      LEFT JOIN pg_stats s
             ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
      LEFT JOIN pg_stats t
             ON t.schemaname = n.nspname AND t.tablename = tc.relname AND t.attname = ta.attname
                AND NOT t.inherited
     WHERE a.attrelid = %(index)s
     ORDER BY a.attnum
"""


class Column(Struct, frozen=True):
    """A column of an index: what is in it, how it is stored, and what statistics say of it."""

    number: int
    text: str
    length: int
    align: str
    expression: bool
    key: bool
    width: int | None
    distinct: float | None


class Sampled(Struct, frozen=True, kw_only=True):
    """Of one index: rows of the whole table that are in it, and of each entry its size."""

    rows: float
    entry_bytes: float | None
    sample_s: float | None
    sampled: float


def columns(connection: Connection, index: int, *, texts: bool = True) -> list[Column]:
    """The columns of an index; without their `texts` no lock on the table is asked for."""
    return [Column(*row) for row in connection.execute(_COLUMNS, {"index": index, "texts": texts})]


def distinct_keys(own: Sequence[Column], rows: float) -> float | None:
    """How many different keys Postgres' statistics promise at most; None without any."""
    keys = 1.0
    for column in own:
        if not column.key:
            continue
        if column.distinct is None:
            return None
        keys *= column.distinct if column.distinct >= 0 else -column.distinct * rows
    return min(rows, max(1.0, keys))


def catalog_entry_bytes(own: Sequence[Column]) -> float | None:
    """Size of an entry by Postgres' statistics alone: no table is read, no lock is taken."""
    at = 0.0
    for column in own:
        if column.length > 0:
            step = _ALIGN[column.align]
            at = -(-at // step) * step + column.length
        elif column.width is None:
            return None
        else:
            at += column.width - 3 if column.expression and column.width <= _SHORT else column.width
    return 8 + -(-at // 8) * 8


def entry_expression(own: Sequence[Column], *, foreign: bool) -> str | None:
    """SQL of an entry's size; `foreign`: its expressions may not be evaluated. None: unknown."""
    at, nulls = "0", []
    for column in own:
        if column.expression and foreign:
            if column.width is None:
                return None
            at = f"({at} + {column.width})"
            continue
        value = f"({column.text})"
        nulls.append(f"{value} IS NULL")
        if column.length > 0:
            step = _ALIGN[column.align]
            size = f"CASE WHEN {value} IS NULL THEN 0 ELSE {column.length} END"
            at = f"(({at} + {step - 1}) / {step} * {step} + {size})"
        else:
            size = f"coalesce(pg_column_size({value}), 0)"
            if column.expression:
                size = f"({size} - CASE WHEN {size} BETWEEN 4 AND {_SHORT} THEN 3 ELSE 0 END)"
            at = f"({at} + {size})"
    header = f"CASE WHEN {' OR '.join(nulls)} THEN 16 ELSE 8 END" if nulls else "8"
    return f"({header} + ({at} + 7) / 8 * 8)"


class Wanted(Struct, frozen=True, kw_only=True):
    """What is asked of the sample for one index; `predicate`: of a partial one, as SQL."""

    entry: str | None
    predicate: str | None
    keys: str | None


def sample(
    connection: Connection, table: str, pages: int, wanted: Sequence[Wanted]
) -> tuple[float, list[Sampled]]:
    """Rows of the table, and of each index what was asked. `table` is quoted already.

    Raises psycopg.Error where it may not be read, or is locked.
    """
    for most in PAGES:
        try:
            return _sample(connection, table, min(100.0, 100 * most / max(1, pages)), wanted)
        except psycopg.errors.QueryCanceled:
            if most == PAGES[-1]:
                raise
    raise AssertionError


def _sample(
    connection: Connection, table: str, percent: float, wanted: Sequence[Wanted]
) -> tuple[float, list[Sampled]]:
    source = f"{table} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (5)"
    asked = ["count(*)"]
    for one in wanted:
        only = f" FILTER (WHERE {one.predicate})" if one.predicate else ""
        asked += [
            f"count(*){only}",
            f"(avg({one.entry}){only})::float8" if one.entry else "NULL::float8",
        ]
    row = _one(connection, f"SELECT {', '.join(asked)} FROM {source}")  # noqa: S608 - catalog's
    share = percent / 100
    found = []
    for number, one in enumerate(wanted):
        count, entry = row[1 + 2 * number : 3 + 2 * number]
        took = None if one.keys is None else _sorted_s(connection, source, one)
        found.append(
            Sampled(
                rows=float(count) / share, entry_bytes=entry, sample_s=took, sampled=float(count)
            )
        )
    return float(row[0]) / share, found


def _sorted_s(connection: Connection, source: str, one: Wanted) -> float:
    """Seconds in which the sample's rows are sorted as the index would be."""
    only = f" WHERE {one.predicate}" if one.predicate else ""
    started = time.perf_counter()
    rows = f"SELECT 1 FROM {source}{only} ORDER BY {one.keys} OFFSET 0"  # noqa: S608 - catalog's
    _one(connection, f"SELECT count(*) FROM ({rows}) s")  # noqa: S608 - as above
    return time.perf_counter() - started


def _one(connection: Connection, statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    return row
