"""Who has a lock that REINDEX would wait for, with everybody else behind it."""

from __future__ import annotations

from typing import Final

from cli.maintenance.connecting import Connection
from cli.maintenance.facts import Holder

_AGAINST_SHARE: Final = (
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
_AGAINST_SHARE_UPDATE: Final = (
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
# An autovacuum makes room by itself, but for one against wraparound.
_HOLDERS: Final = """
    SELECT l.pid, coalesce(nullif(a.application_name, ''), a.usename, 'a prepared transaction'),
           coalesce(a.client_addr::text, 'this host'),
           extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::float8,
           l.relation::regclass::text, l.mode, NOT l.granted, p.gid
      FROM pg_locks l
      LEFT JOIN pg_stat_activity a ON a.pid = l.pid
      LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
                          AND x.virtualtransaction = l.virtualtransaction
      LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
     WHERE l.locktype = 'relation'
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.pid IS DISTINCT FROM pg_backend_pid()
       AND ((l.relation = %(table)s AND l.mode = ANY(%(modes)s))
            OR (%(indexes)s AND l.relation IN
                (SELECT indexrelid FROM pg_index WHERE indrelid = %(table)s)))
       AND NOT (coalesce(a.backend_type, '') = 'autovacuum worker'
                AND coalesce(a.query, '') NOT LIKE '%%to prevent wraparound%%')
     ORDER BY 4 DESC NULLS LAST
"""
_OLD: Final = """
    SELECT a.pid, coalesce(nullif(a.application_name, ''), a.usename),
           coalesce(a.client_addr::text, 'this host'),
           extract(epoch FROM clock_timestamp() - a.xact_start)::float8
      FROM pg_stat_activity a
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
       AND a.backend_type = 'client backend'
       AND a.xact_start IS NOT NULL AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
     ORDER BY 4 DESC
"""


def find(connection: Connection, table: int, *, concurrently: bool) -> list[Holder]:
    """Sessions whose locks on the table or its indexes REINDEX must wait for, each once."""
    modes = list(_AGAINST_SHARE_UPDATE if concurrently else _AGAINST_SHARE)
    found: dict[object, Holder] = {}
    rows = connection.execute(
        _HOLDERS, {"table": table, "modes": modes, "indexes": not concurrently}
    )
    for pid, name, address, age_s, relation, mode, waiting, prepared in rows:
        who = f"prepared transaction {prepared}" if prepared else f"{name} from {address}"
        found.setdefault(
            pid or prepared,
            Holder(pid=pid, who=who, age_s=age_s, relation=relation, mode=mode, waiting=waiting),
        )
    if concurrently:
        # It waits for each transaction of the database that may still see the old indexes.
        for pid, name, address, age_s in connection.execute(_OLD):
            found.setdefault(
                pid,
                Holder(
                    pid=pid,
                    who=f"{name} from {address}",
                    age_s=age_s,
                    relation="",
                    mode="snapshot",
                    waiting=False,
                ),
            )
    return list(found.values())


def said(one: Holder) -> str:
    """A holder, for people."""
    who = one.who if one.pid is None else f"pid {one.pid} ({one.who})"
    age = "for a time that this role can't see" if one.age_s is None else f"for {one.age_s:.0f} s"
    if not one.relation:
        return f"{who} has a transaction open {age}"
    does = "waits for" if one.waiting else "has"
    return f"{who} {does} {one.mode} on {one.relation} {age}"
