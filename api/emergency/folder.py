"""The folder that emergency orders are put into: looked at in the background, a file an order.

What lies in it needs no trust: an order counts by its signature. Who takes one by a request leaves
it here too, for the host's other workers and for its own next start; and so does the command.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from ledger.emergency.orders import (
    DOCUMENT_BYTES_MAX,
    Signed,
    UndecodableOrderError,
    decode,
    encode,
)

FILES_MAX: Final = 64
"""Of the files those that were changed last: orders of years may lie there."""
ENTRIES_MAX: Final = 4096
SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file of the folder; `signed` None: it holds no signed order."""

    name: str
    signed: Signed | None


class Folder:
    """The folder at `path`. Its calls block: make them in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[str, int, int], Found] = {}

    def look(self) -> list[Found]:
        """Files of the folder, in the order in which they came; unchanged ones aren't read again.

        None are in a folder that isn't there.
        """
        seen: list[tuple[int, str, int]] = []
        try:
            with os.scandir(self._path) as entries:
                for entry in islice(entries, ENTRIES_MAX):
                    if entry.name.endswith(SUFFIX) and entry.is_file():
                        status = entry.stat()
                        seen.append((status.st_mtime_ns, entry.name, status.st_size))
        except OSError:
            return []
        known: dict[tuple[str, int, int], Found] = {}
        for changed_ns, name, size in sorted(seen)[-FILES_MAX:]:
            as_it_is = (name, changed_ns, size)
            known[as_it_is] = self._known.get(as_it_is) or self._read(name)
        self._known = known
        return list(known.values())

    def keep(self, signed: Signed) -> None:
        """Leave an order here, whole or not at all. Raises `OSError`."""
        target = self._path / f"{signed.order.id}{SUFFIX}"
        if target.exists():
            return
        handle, name = tempfile.mkstemp(dir=self._path, prefix=".order-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(encode(signed) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                # The next look may be another user's worker's.
                os.fchmod(file.fileno(), 0o644)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _read(self, name: str) -> Found:
        try:
            with (self._path / name).open("rb") as file:
                content = file.read(DOCUMENT_BYTES_MAX + 1)
            return Found(name=name, signed=decode(content))
        except (OSError, UndecodableOrderError):
            return Found(name=name, signed=None)
