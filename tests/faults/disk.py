"""A small disk of one's own, and its being full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.faults.results import skip

SIZE_MB: Final = 256
_PIECE: Final = b"\0" * 65_536


class SmallDisk:
    """A tmpfs at a folder while the block runs; skips the row where none may be made."""

    def __init__(self, folder: Path, *, row: str) -> None:
        self._folder = folder
        self._row = row

    def __enter__(self) -> Self:
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            skip(self._row, "a tmpfs can be mounted by root only")
        self._folder.mkdir(parents=True)
        argv = [mount, "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(self._folder)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            skip(self._row, f"no tmpfs can be mounted here: {done.stderr.strip()[:100]}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        argv = ["umount", "--lazy", str(self._folder)]
        subprocess.run(argv, timeout=10, check=True)

    @property
    def _ballast(self) -> Path:
        return self._folder / "ballast"

    def fill(self) -> None:
        """Leave not a byte of room."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_PIECE)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise

    def make_room(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink()
