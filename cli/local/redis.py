"""One local Redis: its config and its command line, for `ledger up` and for the tests."""

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from cli.local.ports import LOOPBACK

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "redis" / "redis.conf"


class RedisSetupError(Exception):
    """The local Redis cannot be prepared; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisInstance:
    """A Redis on this machine: the folder that holds all it writes, its port, what runs it."""

    directory: Path
    port: int
    program: Path
    max_memory_mb: int = 1024

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def config_path(self) -> Path:
        """Where the server reads its config from."""
        return self.directory / "redis.conf"

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


def config_text(instance: RedisInstance) -> str:
    """The server's config, from infra/redis/redis.conf."""
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        port=instance.port,
        data=f'"{instance.data_directory}"',
        max_memory_mb=instance.max_memory_mb,
    )


def run_argv(instance: RedisInstance) -> list[str]:
    """The command that runs the server in the foreground; SIGTERM stops it in order."""
    return [str(instance.program), str(instance.config_path)]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for the server: nothing of ours but what a process needs to run at all."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
    return {name: environ[name] for name in kept if name in environ}


def is_ready(port: int, *, timeout_s: float = 1.0) -> bool:
    """Whether the server answers PING (not while it is loading its file)."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
