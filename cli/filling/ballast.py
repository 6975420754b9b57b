"""A file that takes room until there is none: deleting it makes room at once.

Its blocks are really taken, not only promised: by the file system's own call where there is one,
else by bytes that can't be compressed.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from cli.trouble import Failed, Missing
from projector.capacity.wording import size as shown

NAME: Final = "ledger-ballast"
LOCAL_BYTES_MAX: Final = 128 << 20
LOCAL_BYTES_MIN: Final = 16 << 20
LOCAL_PART: Final = 8
"""`ledger up` takes an eighth of what is free at most, and only where more than an eighth is free.
So what was released on a full disk is not taken again."""
_PIECE_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 512
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def file_in(folder: Path) -> Path:
    """Where the ballast of a folder's disk lies."""
    return folder / NAME


def bytes_of(text: str) -> int:
    """Return how many bytes `256M` or `1G` are. Raises `Missing`."""
    number, unit = text[:-1], text[-1:].upper()
    if unit not in _UNITS or not number.isdecimal() or not int(number):
        raise Missing(f"--size {text!r} is no size: a number with K, M, G or T, such as 1G")
    return int(number) * _UNITS[unit]


def size_of(folder: Path) -> int | None:
    """Bytes that the ballast takes on the disk; None where there is none."""
    try:
        return file_in(folder).stat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return None


def make(folder: Path, size: int) -> None:
    """Make it. Raises `Missing` where the folder isn't there, `Failed` where it can't be made."""
    if not folder.is_dir():
        raise Missing(f"{folder} is no folder: name one on the disk that is to have a ballast")
    file = file_in(folder)
    if file.exists():
        raise Failed(f"{file} is there already: `ledger ballast release {folder}` takes it away")
    free = shutil.disk_usage(folder).free
    if free < 2 * size:
        raise Failed(
            f"{folder} has {shown(free)} free, and a ballast of {shown(size)} would leave less "
            "than its own size: make a smaller one (--size), or make room"
        )
    try:
        _fill(file, size)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise Failed(f"{file} can't be made: {error.strerror}") from None
    if (size_of(folder) or 0) < size:
        file.unlink()
        raise Failed(f"{folder} is on a file system that doesn't keep room for a file")


def keep(folder: Path) -> None:
    """Make one of a local run's size where room is plenty and there is none; else do nothing."""
    with suppress(Failed, Missing, OSError):
        usage = shutil.disk_usage(folder)
        size = min(LOCAL_BYTES_MAX, usage.free // LOCAL_PART)
        if size >= LOCAL_BYTES_MIN and usage.free > usage.total // LOCAL_PART:
            make(folder, size)


def release(folder: Path) -> int:
    """Take it away; gives its bytes. Raises `Missing`, `Failed`."""
    size = size_of(folder)
    if size is None:
        raise Missing(f"there is no ballast in {folder} (it would be {file_in(folder)})")
    try:
        file_in(folder).unlink()
    except OSError as error:
        raise Failed(f"{file_in(folder)} can't be removed: {error.strerror}") from None
    return size


def _fill(file: Path, size: int) -> None:
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if sys.platform == "darwin":
            _write(number, size)
        else:
            os.posix_fallocate(number, 0, size)
        os.fsync(number)
    finally:
        os.close(number)


def _write(number: int, size: int) -> None:
    piece = os.urandom(min(size, _PIECE_BYTES))
    left = size
    while left:
        left -= os.write(number, piece[:left])
