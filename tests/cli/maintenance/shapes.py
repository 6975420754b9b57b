"""Tables of three shapes, filled: what plans are compared on."""

from __future__ import annotations

import psycopg

MACHINES = """
CREATE TABLE machines (
    id bigint PRIMARY KEY,
    license bigint NOT NULL,
    fingerprint text NOT NULL,
    last_seen timestamptz NOT NULL,
    UNIQUE (license, fingerprint)
);
CREATE INDEX machines_last_seen ON machines (last_seen);
INSERT INTO machines
SELECT n, 1 + n::bigint * 7919 % 200000, md5(n::text) || md5((-n)::text),
       '2026-01-01'::timestamptz + random() * interval '300 days'
  FROM generate_series(1, {rows}) n;
UPDATE machines SET last_seen = last_seen + interval '1 day' WHERE id % 3 = 0;
"""
"""Three indexes without duplicates, grown by heartbeats: nothing is saved by sharing entries."""

EVENTS = """
CREATE TABLE events (id bigint PRIMARY KEY, license int NOT NULL, kind smallint NOT NULL);
CREATE INDEX events_license ON events (license);
CREATE INDEX events_kind ON events (kind);
INSERT INTO events
SELECT n, (random() * 20000)::int, (random() * 12)::int FROM generate_series(1, {rows}) n;
"""
"""Narrow rows, and two indexes in which many rows share a key."""

AUDIT = """
CREATE TABLE audit (
    id uuid PRIMARY KEY,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    detail text,
    flagged boolean NOT NULL
);
CREATE INDEX audit_actor ON audit (lower(actor));
CREATE INDEX audit_detail ON audit (substr(detail, 1, 12), at);
CREATE INDEX audit_flagged ON audit (at) WHERE flagged;
INSERT INTO audit
SELECT gen_random_uuid(), 'Person ' || (n * 31 % 40000),
       '2026-01-01'::timestamptz + n * interval '7 s', md5(n::text), n % 20 = 0
  FROM generate_series(1, {rows}) n;
"""
"""Random keys, two expressions, and an index of a twentieth of the rows."""

SHAPES = {
    "machines": (MACHINES, 1_000_000),
    "events": (EVENTS, 1_500_000),
    "audit": (AUDIT, 600_000),
}


def fill(connection: psycopg.Connection[tuple[object, ...]], name: str, rows: int = 0) -> None:
    """Make a table of a shape, with as many rows as is usual there, and its statistics."""
    script, usual = SHAPES[name]
    for statement in script.format(rows=rows or usual).strip().rstrip(";").split(";\n"):
        connection.execute(statement.encode())
    connection.execute(f"VACUUM ANALYZE {name}".encode())
