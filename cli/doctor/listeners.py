"""Who listens on a port of this machine, where the kernel tells it (Linux, /proc)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
_STATE, _INODE, _FIELDS_MIN = 3, 9, 10


def who_listens(port: int, proc: Path = _PROC) -> str | None:
    """Name and id of the process that listens on the port; None where that can't be told."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, proc)}
    if not sockets:
        return None
    for entry in proc.glob("[0-9]*"):
        with suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (entry / "fd").iterdir()):
                name = (entry / "comm").read_text(errors="replace").strip()
                return f"{name} ({entry.name})"
    return None


def _inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if len(fields) < _FIELDS_MIN or fields[_STATE] != _LISTENS:
                continue
            if fields[1].endswith(f":{port:04X}"):
                yield fields[_INODE]
