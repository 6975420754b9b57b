"""A backup's folder: manifest and segments, each written under another name first.

What lies under its own name is whole and on the disk. `manifest.json` is the last whole cut;
`unfinished.json` is how far a run has come that goes beyond it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ledger.archive import manifest as manifests
from ledger.archive.manifest import Manifest
from ledger.archive.trouble import DamagedBackup, FolderBusy, NoBackup, UnreadableNote
from ledger.domain.identifiers import Pepper

MANIFEST: Final = "manifest.json"
UNFINISHED: Final = "unfinished.json"
_LOCK: Final = "lock"
_TEMPORARY: Final = ".part"


class Folder:
    """A folder that holds a backup, or is to hold one. All methods block; they raise `OSError`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make it, and keep others from writing into it; raises `FolderBusy`, `NoBackup`."""
        self._make()
        with (self.path / _LOCK).open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusy(f"another backup writes into {self.path}: let it end") from None
            except OSError:
                pass  # a file system without locks: who uses one starts one at a time
            for left in self.path.glob(f"*{_TEMPORARY}"):
                left.unlink()
            yield

    def _make(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise NoBackup(f"{self.path} is no folder: name one for the backup")
        if not self.path.parent.is_dir():
            # Made by itself it would lie on another disk, where that one isn't mounted.
            raise NoBackup(
                f"{self.path.parent} is no folder: make it first, or mount the disk that it is on"
            )
        self.path.mkdir(mode=0o700, exist_ok=True)
        own = {MANIFEST, UNFINISHED, _LOCK}
        found = {one.name for one in self.path.iterdir()}
        if found and not found & own:
            raise NoBackup(f"{self.path} holds other files, and no backup: name an empty folder")

    def manifest(self) -> Manifest:
        """Read the last whole cut; raises `NoBackup`, `DamagedBackup`."""
        found = self._read(MANIFEST)
        if found is not None:
            return found
        if (self.path / UNFINISHED).exists():
            raise NoBackup(
                f"the backup in {self.path} did not come to its end: run `ledger backup` again, it "
                "goes on"
            )
        raise NoBackup(f"{self.path} holds no backup: there is no {MANIFEST} in it")

    def begun(self) -> Manifest | None:
        """What there is to go on from: an unfinished run, else the last whole cut.

        None: nothing at all. Raises `DamagedBackup`.
        """
        whole, further = self._read(MANIFEST), self._read(UNFINISHED)
        if whole is None and further is None and any(self.path.glob("*.gz")):
            raise NoBackup(
                f"{self.path} holds files of a backup, and neither {MANIFEST} nor {UNFINISHED}: "
                "bring the manifest back from a copy, or name another folder"
            )
        if further is None or (whole is not None and not _goes_beyond(further, whole)):
            return whole
        return further

    def check_files(self, manifest: Manifest) -> None:
        """See that each file of a manifest has its size; `DamagedBackup`. Says nothing of bytes."""
        for one in manifest.segments:
            path = self.path / one.file
            size = path.stat().st_size if path.exists() else None
            if size != one.bytes:
                what = "is missing" if size is None else f"has {size} bytes, not {one.bytes}"
                raise DamagedBackup(f"{path} {what}")

    def save(self, manifest: Manifest, pepper: Pepper, *, whole: bool) -> None:
        """Replace the manifest; of a run that goes on, only note how far it is."""
        self._write(MANIFEST if whole else UNFINISHED, manifests.encode(manifest, pepper))
        if whole:
            (self.path / UNFINISHED).unlink(missing_ok=True)

    def temporary(self, name: str) -> Path:
        """Where a file is written before it has its name."""
        return self.path / f"{name}{_TEMPORARY}"

    def settle(self, name: str) -> None:
        """Give a file, which is on the disk, its name."""
        self.temporary(name).replace(self.path / name)
        self._sync()

    def _write(self, name: str, data: bytes) -> None:
        opened = os.open(self.temporary(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.settle(name)

    def _read(self, name: str) -> Manifest | None:
        try:
            data = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return manifests.decode(data)
        except DamagedBackup as error:
            said = f"{self.path / name}: {error.said}"
            if name == UNFINISHED:
                raise UnreadableNote(
                    f"{said}. It only notes how far a run came: where {MANIFEST} is there, delete "
                    "it, and what it noted is written again; else begin a new folder"
                ) from None
            raise DamagedBackup(said) from None

    def _sync(self) -> None:
        opened = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _goes_beyond(further: Manifest, whole: Manifest) -> bool:
    """Whether an unfinished run holds all of the whole cut, and more."""
    return further.ledger == whole.ledger and {*whole.segments} < {*further.segments}
