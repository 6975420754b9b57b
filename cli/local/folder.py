"""The data folder: everything that a local ledger keeps, and the secrets of its first start.

`ledger up` makes it and other commands find the running ledger through it. Whoever has it has the
ledger; the pepper in it must be kept with every copy (docs/operations/local.md).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT: Final = Path("ledger-data")
BROKERS: Final = (1, 3)
"""How many brokers a local ledger may have."""
_PRIVATE_FOLDER: Final = 0o700
_PEPPER_BYTES: Final = 32
_SEAL_KEY_BYTES: Final = 32
_TOKEN_BYTES: Final = 32
_SOCKET_PATH_BYTES_MAX: Final = 90
"""A unix socket's path ends at 104 bytes on macOS; supervisor also binds it with a suffix."""
_FORBIDDEN: Final = (" ;", " #", "\n", "\r", '"')
"""What the config files of the servers can't quote in a path."""


class FolderError(Exception):
    """The data folder can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFolder:
    """Where a local ledger's files lie. `root` is absolute."""

    root: Path

    def kafka(self, brokers: int) -> tuple[Path, ...]:
        """The folder of each broker: of the only one, or of the first, the second and so on."""
        if brokers == 1:
            return (self.root / "kafka",)
        return tuple(self.root / f"kafka-{node}" for node in range(1, brokers + 1))

    @property
    def logs(self) -> Path:
        """What the processes wrote; each file is rotated at its limit."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What belongs to the present run."""
        return self.root / "run"

    @property
    def pepper(self) -> Path:
        """The secret that keys every digest, fixed for the ledger's life."""
        return self.root / "pepper"

    @property
    def seal_keys(self) -> Path:
        """The keys that the data keys are sealed under, the current one first."""
        return self.root / "seal-keys"

    @property
    def token(self) -> Path:
        """The demo token of the API, good on this machine only."""
        return self.root / "demo-token"

    @property
    def tls(self) -> Path:
        """The certificates of the secure run, with their keys."""
        return self.root / "tls"

    @property
    def passwords(self) -> Path:
        """The passwords of the secure run's users, a file each."""
        return self.root / "passwords"

    @property
    def lock(self) -> Path:
        """Held by the one `ledger up` that runs on the folder."""
        return self.run / "lock"

    @property
    def processes(self) -> Path:
        """Ids and start times of the processes of the present or the last run."""
        return self.run / "processes.json"

    @property
    def environment(self) -> Path:
        """How other commands reach the running ledger."""
        return self.run / "ledger.env"

    @property
    def supervisor_config(self) -> Path:
        """What supervisor is told."""
        return self.run / "supervisord.conf"

    def redis(self, replica: str) -> Path:
        """The folder of a replica, `A` or `B`."""
        return self.root / f"redis-{replica.lower()}"

    @property
    def local_copy(self) -> Path:
        """Folder of this machine's own copy of the read model."""
        return self.root / "local-copy"

    @property
    def emergency_orders(self) -> Path:
        """What the workers look into for emergency orders; their private keys are never here."""
        return self.root / "emergency-orders"

    def log(self, process: str) -> Path:
        """The log of a process."""
        return self.logs / f"{process}.log"


def data_folder(path: Path) -> DataFolder:
    """The data folder at `path`. Raises `FolderError` for a path that servers can't be told of."""
    root = path.expanduser().absolute()
    if found := next((bad for bad in _FORBIDDEN if bad in str(root)), None):
        raise FolderError(
            f"the data folder's path has {found!r} in it, which config files can't quote: "
            "name another (--data, LEDGER_DATA)"
        )
    return DataFolder(root=root)


def make(folder: DataFolder) -> None:
    """Make what is missing: folders, pepper, seal keys, demo token. Raises `FolderError`.

    The pepper of a log that is already there is never made anew: every check would be answered
    NOT_FOUND.
    """
    try:
        for directory in (folder.root, folder.logs, folder.run, folder.emergency_orders):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(_PRIVATE_FOLDER)
        _make_secrets(folder)
    except OSError as error:
        raise FolderError(
            f"the data folder {folder.root} can't be written: {error.strerror}; "
            "name another (--data, LEDGER_DATA)"
        ) from None


def brokers_of(folder: DataFolder) -> int | None:
    """How many brokers the folder's log was made with; None where it has none yet."""
    return next((count for count in BROKERS if _logs(folder, count)), None)


def _logs(folder: DataFolder, brokers: int) -> list[Path]:
    """Folders of brokers that hold a log, or the part of one that is left."""
    return [path for path in folder.kafka(brokers) if (path / "data/meta.properties").exists()]


def choose_brokers(folder: DataFolder, asked: int | None) -> int:
    """How many brokers are to run: as the log was made, else as asked, else one.

    Raises `FolderError` where another number is asked for than the log was made with.
    """
    made = brokers_of(folder)
    if made is not None and asked not in {None, made}:
        raise FolderError(
            f"the log in {folder.root} was made with --brokers {made}, and stays so: leave the "
            f"option out, or begin another ledger with --brokers {asked} in another data folder "
            "(--data, LEDGER_DATA)"
        )
    return made or asked or 1


def _make_secrets(folder: DataFolder) -> None:
    logs = [path for count in BROKERS for path in _logs(folder, count)]
    if logs and not folder.pepper.exists():
        raise FolderError(
            f"{folder.pepper} is missing, but {logs[0]} holds a log made with it: put it "
            "back from a copy; without it no license is found"
        )
    for path, text in (
        (folder.pepper, secrets.token_hex(_PEPPER_BYTES)),
        (folder.seal_keys, f"k1:{secrets.token_hex(_SEAL_KEY_BYTES)}"),
        (folder.token, f"demo-{secrets.token_urlsafe(_TOKEN_BYTES)}"),
    ):
        if not path.exists():
            write_private(path, text + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner may read."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_token(folder: DataFolder) -> str:
    """The demo token."""
    return folder.token.read_text(encoding="utf-8").strip()


def write_environment(folder: DataFolder, environment: Mapping[str, str]) -> None:
    """Tell other commands how to reach the ledger; it names files of secrets, never a secret."""
    lines = (f"{name}={value}\n" for name, value in sorted(environment.items()))
    write_private(folder.environment, "".join(lines))


def read_environment(folder: DataFolder) -> dict[str, str] | None:
    """What `write_environment` wrote; None where no ledger runs on the folder."""
    try:
        text = folder.environment.read_text(encoding="utf-8")
    except OSError:
        return None
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def socket_path(folder: DataFolder) -> Path:
    """Where supervisor listens: in the run folder, or in a temporary one where that is too long."""
    near = folder.run / "supervisor.sock"
    if len(os.fsencode(near)) <= _SOCKET_PATH_BYTES_MAX:
        return near
    directory = Path(tempfile.gettempdir()) / f"ledger-{os.getuid()}"
    if len(os.fsencode(directory)) > _SOCKET_PATH_BYTES_MAX - 40:
        directory = Path("/tmp") / directory.name  # noqa: S108 - owner and mode are checked below
    _make_own(directory)
    name = hashlib.blake2b(os.fsencode(folder.root), digest_size=8).hexdigest()
    return directory / f"{name}.sock"


def _make_own(directory: Path) -> None:
    """Make a folder among everybody's, or see that it is nobody else's."""
    directory.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise FolderError(
            f"{directory} is not a folder of one's own with mode 700: remove it, or name a data "
            "folder with a shorter path (--data, LEDGER_DATA)"
        )
