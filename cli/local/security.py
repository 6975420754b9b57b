"""The secure local run: who the users are, their passwords, and what they do in LEDGER_*.

`admin` is the commands', and may do everything; `projector` and `api` are the processes' own. One
password each, for Kafka and for Redis, in a file (0600) of the data folder.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.local import certificates
from cli.local.certificates import Certificates
from cli.local.folder import DataFolder, FolderError, write_private
from ledger.connections import KafkaBrokers

USERS: Final = ("admin", "projector", "api")
_PASSWORD_BYTES: Final = 32
_SET_HERE: Final = ("LEDGER_KAFKA", "LEDGER_REDIS_", "LEDGER_API_TLS_", "LEDGER_API_CA_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Certificates, and the files of the users' passwords."""

    certificates: Certificates
    passwords: Path

    def password_file(self, user: str) -> Path:
        """Where a user's password lies."""
        return self.passwords / user

    def password(self, user: str) -> str:
        """A user's password."""
        return self.password_file(user).read_text(encoding="utf-8").strip()

    def access(self, user: str) -> dict[str, str]:
        """The LEDGER_* that make a process a user; files of secrets, never a secret."""
        file = str(self.password_file(user))
        return {
            "LEDGER_KAFKA_USER": user,
            "LEDGER_KAFKA_PASSWORD_FILE": file,
            "LEDGER_REDIS_USER": user,
            "LEDGER_REDIS_PASSWORD_FILE": file,
        }

    def environment(self) -> dict[str, str]:
        """The LEDGER_* of every process and command, as `admin`."""
        ca = str(self.certificates.ca)
        return {
            **self.access("admin"),
            "LEDGER_KAFKA_SECURITY": "SASL_SSL",
            "LEDGER_KAFKA_MECHANISM": "SCRAM-SHA-512",
            "LEDGER_KAFKA_CA_FILE": ca,
            "LEDGER_REDIS_CA_FILE": ca,
            "LEDGER_API_CA_FILE": ca,
            "LEDGER_API_TLS_CERT_FILE": str(self.certificates.certificate("api")),
            "LEDGER_API_TLS_KEY_FILE": str(self.certificates.key("api")),
        }

    def controller(self, port: int) -> KafkaBrokers:
        """The broker's controller, as the broker itself reaches it."""
        return KafkaBrokers(
            bootstrap=f"127.0.0.1:{port}",
            security="SSL",
            ca_file=str(self.certificates.ca),
            certificate_file=str(self.certificates.certificate("kafka")),
            key_file=str(self.certificates.key("kafka")),
        )


def make(folder: DataFolder) -> Security:
    """What is missing is made: certificates, passwords. Raises `FolderError`."""
    try:
        found = Security(certificates=certificates.make(folder), passwords=folder.passwords)
        found.passwords.mkdir(parents=True, exist_ok=True)
        found.passwords.chmod(0o700)
        for user in USERS:
            file = found.password_file(user)
            if not file.exists():
                write_private(file, secrets.token_urlsafe(_PASSWORD_BYTES) + "\n")
    except OSError as error:
        raise FolderError(
            f"certificates and passwords can't be kept in {folder.root}: {error.strerror}"
        ) from None
    return found


def without_access(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what says how servers are reached: a local ledger says that itself."""
    return {name: value for name, value in environ.items() if not name.startswith(_SET_HERE)}
