"""Trouble with a backup's files, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.trouble import Failed


@contextmanager
def on_files(folder: Path) -> Iterator[None]:
    """Say what the file system refused, as a failure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            reason += ". Make room there, and run it again: it goes on where it was"
        raise Failed(f"{error.filename or folder}: {reason}") from None
