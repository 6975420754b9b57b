"""The WAL: how far it may grow, what retains it, and whether it is archived."""

from __future__ import annotations

from pathlib import Path

import psycopg

from cli.maintenance.connecting import Connection
from cli.maintenance.facts import Slot, WalFacts
from cli.maintenance.places import DataDirectory, Unseen

_SETTINGS = (
    "wal_segment_size",
    "max_wal_size",
    "wal_keep_size",
    "max_slot_wal_keep_size",
    "archive_mode",
    "archive_command",
    "archive_library",
)
_MIB = 1 << 20


def ask(connection: Connection, data_directory: Path | None) -> WalFacts:
    """Ask for all that is known of it."""
    rows = connection.execute(
        "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(_SETTINGS),)
    )
    settings: dict[str, str] = dict(rows.fetchall())
    segment, keep = int(settings["wal_segment_size"]), int(settings["max_slot_wal_keep_size"])
    slots = connection.execute(
        "SELECT slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint "
        "FROM pg_replication_slots WHERE restart_lsn IS NOT NULL ORDER BY 3 DESC"
    )
    recycled = _recycled(connection, data_directory)
    return WalFacts(
        segment_bytes=segment,
        max_bytes=int(settings["max_wal_size"]) * _MIB,
        keep_bytes=int(settings["wal_keep_size"]) * _MIB,
        recycled_bytes=None
        if recycled is None
        else recycled * segment + _rest(connection, segment),
        slots=[Slot(name=row[0], active=row[1], retained_bytes=row[2]) for row in slots],
        slots_keep_bytes=None if keep < 0 else keep * _MIB,
        archiver=_archiver(connection, settings),
    )


def _archiver(connection: Connection, settings: dict[str, str]) -> str:
    """What is wrong with the archiver; empty where nothing is."""
    if settings["archive_mode"] == "off":
        return ""
    # Hidden from who may not read all settings: then it is missing here.
    if settings.get("archive_command") in {"", "(disabled)"} and not settings.get(
        "archive_library"
    ):
        return "archive_mode is on, and nothing is told to archive"
    row = connection.execute(
        "SELECT failed_count, last_failed_wal FROM pg_stat_archiver "
        "WHERE last_failed_time > coalesce(last_archived_time, '-infinity')"
    ).fetchone()
    return "" if row is None else f"the archiver fails since {row[1]}, {row[0]} times so far"


def _rest(connection: Connection, segment: int) -> int:
    """What the present segment still takes."""
    row = connection.execute(
        "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') %% %s", (segment,)
    ).fetchone()
    assert row is not None  # noqa: S101 - a function has a row
    return segment - int(row[0])


def _recycled(connection: Connection, data_directory: Path | None) -> int | None:
    """Segments that wait to be written over; None where that can't be seen."""
    row = connection.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
    assert row is not None  # noqa: S101 - a function has a row
    try:
        found = connection.execute(
            "SELECT count(*) FROM pg_ls_waldir() WHERE length(name) = 24 AND name > %s", (row[0],)
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        try:
            return DataDirectory(connection, data_directory).recycled_segments(row[0])
        except (Unseen, OSError):
            return None
    return None if found is None else int(found[0])
