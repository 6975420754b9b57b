"""One `ledger up` on a data folder at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from cli.local.folder import DataFolder


class FolderInUse(Exception):
    """Another `ledger up` runs on the data folder."""


@contextmanager
def locked(folder: DataFolder) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it however this process ends.

    Raises `FolderInUse`.
    """
    folder.run.mkdir(parents=True, exist_ok=True)
    with folder.lock.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderInUse(
                f"a ledger already runs on {folder.root}: stop it (`ledger stop`), "
                "or name another data folder (--data, LEDGER_DATA)"
            ) from None
        yield


def is_locked(folder: DataFolder) -> bool:
    """Whether a `ledger up` runs on the folder now."""
    try:
        with locked(folder):
            return False
    except FolderInUse:
        return True
