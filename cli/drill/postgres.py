"""Where Postgres' programs are, and as whom they run: as root they refuse to."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
from pathlib import Path
from typing import Final

INSTALL: Final = (
    "brew install postgresql" if sys.platform == "darwin" else "apt-get install postgresql"
)
_NOT_ROOT: Final = ("postgres", "nobody")
_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


class NoUser(Exception):
    """Root has nobody to run Postgres as."""


def programs() -> Path | None:
    """Folder of Postgres' programs, the newest; None where it isn't installed."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = [
        folder
        for pattern in _FOLDERS
        for folder in Path("/").glob(pattern.removeprefix("/"))
        if (folder / "initdb").exists()
    ]
    return max(found, key=_version, default=None)


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def as_user() -> list[str]:
    """What a command begins with so that it isn't run by root. Raises `NoUser`."""
    if os.geteuid() != 0:
        return []
    user = not_root()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def not_root() -> pwd.struct_passwd:
    """The user that root runs Postgres as. Raises `NoUser`."""
    for name in _NOT_ROOT:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoUser("Postgres runs as no root, and there is no user to run it as")
