"""Files of a database that no table has: what a crash leaves of a build that was under way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cli.maintenance.connecting import Connection
from cli.maintenance.places import DataDirectory, Unseen

_FILE: Final = re.compile(r"(\d+)(\.\d+)?(_(fsm|vm|init))?")
# What a transaction has made that is still open may be committed yet.
_BEFORE: Final = """
    SELECT extract(epoch FROM least((SELECT min(xact_start) FROM pg_stat_activity),
                                    (SELECT min(prepared) FROM pg_prepared_xacts)))::float8, oid
      FROM pg_database WHERE datname = current_database()
"""
_KNOWN: Final = """
    SELECT filenode FROM unnest(%s::oid[]) filenode
     WHERE pg_filenode_relation(0, filenode) IS NULL
"""


def orphans(connection: Connection, data_directory: Path | None, unknown: list[str]) -> list[Path]:
    """Such files in the database's own tablespace, where its data directory can be seen."""
    try:
        folder = DataDirectory(connection, data_directory).path / "base"
    except Unseen as error:
        unknown.append(f"whether a crash has left files: {error}")
        return []
    row = connection.execute(_BEFORE).fetchone()
    assert row is not None  # noqa: S101 - an aggregate has a row
    before, database = row
    files: dict[int, list[Path]] = {}
    for path in (folder / str(database)).iterdir():
        named = _FILE.fullmatch(path.name)
        if named is None:
            continue
        seen = path.stat()
        # What was dropped is empty until the next checkpoint.
        if seen.st_size and seen.st_mtime < before:
            files.setdefault(int(named[1]), []).append(path)
    lost = connection.execute(_KNOWN, (list(files),)).fetchall()
    return sorted(path for (filenode,) in lost for path in files[filenode])
