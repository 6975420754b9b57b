"""Where a Redis keeps its append-only file, and how much room there is: where that is seen."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from projector.rebuild.site import Site

_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Disk(Struct, frozen=True, kw_only=True):
    """A Redis' folder (`where`) with `free` bytes, both None where they can't be seen from here.

    `writes`: whether it has an append-only file at all; `file`: bytes of it now.
    """

    where: str | None
    free: int | None
    writes: bool
    file: int

    def needed(self, grows: int) -> int:
        """Bytes that it takes more, at most: grown, and once more while all is written anew."""
        return self.file + 2 * grows if self.writes else 0


async def disk_of(site: Site, info: Mapping[str, Any]) -> Disk:
    """Look where the file lies. Raises `ReadModelUnavailableError`."""
    host = urlsplit(site.settings.replicas[site.replica]).hostname
    where = await site.store.folder() if host in _HERE else None
    free = None
    if where is not None:
        try:
            free = shutil.disk_usage(Path(where)).free
        except OSError:
            where = None
    return Disk(
        where=where,
        free=free,
        writes=bool(int(info.get("aof_enabled", 0))),
        file=int(info.get("aof_current_size", 0)),
    )
