"""The last replica: the complete copy in a file of this host, which another process keeps level."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from projector.read_model.lmdb import LmdbReader
from projector.read_model.port import ReadModelError
from projector.read_model.wire import Away

FRESH_MS: Final = 2_000
"""A copy that was level this lately knows all that there is."""


class FileLink:
    """A local copy as a worker reads it, in the manner of a link to a Redis."""

    def __init__(self, folder: Path) -> None:
        self._reader = LmdbReader(folder)

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of `names`, all of one moment. Raises `Away`."""
        return self._read(names)

    async def survey(self, names: Sequence[str]) -> tuple[int, float, list[bytes | None]]:
        """Clock of this host, the monotonic time at which it was so, and values. Raises `Away`."""
        return int(time.time() * 1000), time.monotonic(), self._read(names)

    async def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def _read(self, names: Sequence[str]) -> list[bytes | None]:
        try:
            return self._reader.read(names)
        except ReadModelError as error:
            raise Away(str(error)) from None
