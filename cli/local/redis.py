"""One local Redis: its config and its command line, for `ledger up` and for the tests."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template

from cli.local.folder import write_private
from cli.local.ports import LOOPBACK, connected
from cli.local.security import USERS, Security
from ledger.connections import client_context

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "redis" / "redis.conf"
SECURE_TEMPLATE = TEMPLATE.with_name("secure.conf")
USERS_TEMPLATE = TEMPLATE.with_name("users.acl")


class RedisSetupError(Exception):
    """The local Redis cannot be prepared; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisInstance:
    """A Redis on this machine: the folder that holds all it writes, its port, what runs it.

    `security`: with it clients come over TLS, as users with passwords.
    """

    directory: Path
    port: int
    program: Path
    max_memory_mb: int = 1024
    security: Security | None = None

    @property
    def url(self) -> str:
        """The address for clients."""
        scheme = "redis" if self.security is None else "rediss"
        return f"{scheme}://{LOOPBACK}:{self.port}/0"

    @property
    def config_path(self) -> Path:
        """Where the server reads its config from."""
        return self.directory / "redis.conf"

    @property
    def users_path(self) -> Path:
        """Where the server reads its users from."""
        return self.directory / "users.acl"

    @property
    def data_directory(self) -> Path:
        """Where the append-only file lies."""
        return self.directory / "data"


def find_program(environ: Mapping[str, str]) -> Path:
    """The redis-server of PATH. Raises RedisSetupError."""
    # Debian puts servers where a user's PATH may not look.
    path = os.pathsep.join([environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("redis-server", path=path)
    if found is None:
        message = "no redis-server in PATH: run `make` once, its set-up says how to get it"
        raise RedisSetupError(message)
    return Path(found)


def prepare(instance: RedisInstance) -> None:
    """Write the config; safe to run at every start: the data stays."""
    instance.data_directory.mkdir(parents=True, exist_ok=True)
    instance.config_path.write_text(config_text(instance), encoding="utf-8")
    if instance.security is not None:
        write_private(instance.users_path, users_text(instance.security))


def config_text(instance: RedisInstance) -> str:
    """The server's config, from infra/redis/redis.conf (and secure.conf)."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        listen=_listen_text(instance),
        data=f'"{instance.data_directory}"',
        max_memory_mb=instance.max_memory_mb,
    )


def _listen_text(instance: RedisInstance) -> str:
    if instance.security is None:
        return f"port {instance.port}"
    certificates = instance.security.certificates
    text = SECURE_TEMPLATE.read_text(encoding="utf-8").rstrip("\n")
    return Template(text).substitute(
        port=instance.port,
        certificate=certificates.certificate("redis"),
        key=certificates.key("redis"),
        ca=certificates.ca,
        users=instance.users_path,
    )


def users_text(security: Security) -> str:
    """The server's users and rights, from infra/redis/users.acl; of passwords the digests."""
    digests = {user: sha256(security.password(user).encode()).hexdigest() for user in USERS}
    return Template(USERS_TEMPLATE.read_text(encoding="utf-8")).substitute(digests)


def run_argv(instance: RedisInstance) -> list[str]:
    """The command that runs the server in the foreground; SIGTERM stops it in order."""
    return [str(instance.program), str(instance.config_path)]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the server: nothing of ours but what a process needs to run at all."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
    return {name: environ[name] for name in kept if name in environ}


def is_ready(port: int, *, security: Security | None = None, timeout_s: float = 1.0) -> bool:
    """Whether the server answers PING (not while it is loading its file)."""
    tls = login = None
    if security is not None:
        tls = client_context(str(security.certificates.ca))
        login = f"AUTH admin {security.password('admin')}\r\n".encode()
    try:
        with connected(port, tls=tls, timeout_s=timeout_s) as connection:
            if login is not None:
                connection.sendall(login)
                if not connection.recv(16).startswith(b"+OK"):
                    return False
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
