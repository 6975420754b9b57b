"""A small disk of one's own, and its being full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

import pytest

SIZE_MB: Final = 256
_PIECE: Final = b"\0" * 65_536


class SmallDisk:
    """A tmpfs at a folder while the block runs.

    `skip`: called with the reason where none may be made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size_mb: int = SIZE_MB,
        skip: Callable[[str], NoReturn] = pytest.skip,
    ) -> None:
        self._folder = folder
        self._size_mb = size_mb
        self._skip = skip

    def __enter__(self) -> Self:
        mount = shutil.which("mount")
        if mount is None or os.geteuid() != 0:
            self._skip("a tmpfs can be mounted by root only")
        self._folder.mkdir(parents=True)
        argv = [mount, "-t", "tmpfs", "-o", f"size={self._size_mb}m", "tmpfs", str(self._folder)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode:
            self._skip(f"no tmpfs can be mounted here: {done.stderr.strip()[:100]}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        argv = ["umount", "--lazy", str(self._folder)]
        subprocess.run(argv, timeout=10, check=True)

    def empty(self) -> None:
        """Take away what has filled it."""
        (self._folder / "what-ate-it").unlink()

    def fill(self) -> None:
        """Leave not a byte of room."""
        with (self._folder / "what-ate-it").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_PIECE)
            except OSError as full:
                if full.errno != errno.ENOSPC:
                    raise
