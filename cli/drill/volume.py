"""A small volume for the database alone: real, full when it is full, and gone with its processes.

It is mounted in a mount namespace of its own, so nothing of it is left on the machine once the last
process in it has ended, however that came. Ways to one are tried in order: as root; without root,
in a user namespace as well; and else there is none, and the disk of the drill can't be filled.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.drill.postgres import as_user, not_root
from cli.drill.scratch import Scratch

SIZE_MB: Final = 400
_BLOCK: Final = 4096
_TRIES: Final = 20
_PATIENCE_S: Final = 10.0
_ROOT: Final = ["--mount", "--propagation", "private"]
_NO_ROOT: Final = ["--user", "--mount", "--map-current-user", "--keep-caps"]
_MOUNT: Final = 'mount -t tmpfs -o "size=$1m,mode=0777" tmpfs "$2" && echo mounted && exec cat'
"""It holds the namespace until its stdin is closed: when the drill ends, however it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Where the database lies.

    `path` is as its processes see it, `seen` the same from outside; `enter` is what a command
    begins with to run there as the database's user. `words` say how it was made. `trouble`: why it
    can't be filled; None where it can.
    """

    path: Path
    seen: Path
    enter: list[str]
    words: str
    trouble: str | None = None

    def free_bytes(self) -> int:
        """What is free."""
        status = os.statvfs(self.seen)
        return status.f_bavail * status.f_frsize

    def fill(self, name: str, *, leave: int) -> None:
        """Let a file take all but `leave` bytes, as its user: nobody else may write here."""
        taken = 0
        for _ in range(_TRIES):
            more = (self.free_bytes() - leave) // _BLOCK * _BLOCK
            if more <= 0:
                return
            self._run("fallocate", "-o", str(taken), "-l", str(more), str(self.path / name))
            taken += more

    def make_room(self, name: str) -> None:
        """Remove such a file."""
        self._run("rm", "-f", str(self.path / name))

    def _run(self, *command: str) -> None:
        # What doesn't fit any more isn't taken: others write here as well.
        subprocess.run(
            [*self.enter, *command], cwd="/", capture_output=True, timeout=_PATIENCE_S, check=False
        )


def volume(scratch: Scratch) -> Volume:
    """Make one, by the first way that works here. Raises `NoUser`."""
    path = scratch.root / "volume"
    path.mkdir()
    troubles: list[str] = []
    if os.geteuid() == 0:
        made = _mounted(scratch, path, [], _ROOT, troubles)
        if made is not None:
            enter = ["nsenter", "--mount", f"--target={made}", *as_user()]
            words = f"root: a tmpfs of {SIZE_MB} MB in a mount namespace of its own"
            return _volume(path, made, enter, words)
    made = _mounted(scratch, path, as_user(), _NO_ROOT, troubles)
    if made is not None:
        enter = [*as_user(), "nsenter", "--user", "--preserve-credentials", "--mount"]
        words = f"no root: a tmpfs of {SIZE_MB} MB in a user and mount namespace of its own"
        return _volume(path, made, [*enter, f"--target={made}"], words)
    if os.geteuid() == 0:
        user = not_root()
        os.chown(path, user.pw_uid, user.pw_gid)
    trouble = f"no small volume can be mounted here: {'; '.join(dict.fromkeys(troubles))}"
    return Volume(
        path=path,
        seen=path,
        enter=as_user(),
        words="neither root nor user namespaces: a plain folder",
        trouble=trouble,
    )


def _volume(path: Path, holder: int, enter: list[str], words: str) -> Volume:
    seen = Path(f"/proc/{holder}/root{path}")
    return Volume(path=path, seen=seen, enter=enter, words=words)


def _mounted(
    scratch: Scratch, path: Path, user: list[str], flags: list[str], troubles: list[str]
) -> int | None:
    """Start the process that mounts and holds a volume; its id, None where that can't be."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        troubles.append("unshare and nsenter (util-linux) aren't there")
        return None
    command = [*user, "unshare", *flags, "sh", "-c", _MOUNT, "mount", str(SIZE_MB), str(path)]
    holder = scratch.start("volume", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None  # noqa: S101 - a pipe was asked for
    ready, _, _ = select.select([holder.stdout], [], [], _PATIENCE_S)
    said = holder.stdout.readline() if ready else b""
    if said.strip() == b"mounted" and os.access(f"/proc/{holder.pid}/root{path}", os.R_OK):
        return holder.pid
    holder.kill()
    holder.communicate()
    troubles.append(scratch.last_words("volume").strip() or "the volume can't be reached")
    return None
