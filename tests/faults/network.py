"""A Redis in a network of its own, whose packets can be dropped without anybody being told."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from tests.faults.results import skip
from tests.servers import RedisServer

_NAME: Final = f"faults{os.getpid()}"
_HERE: Final = f"fh{os.getpid()}"
_THERE: Final = f"ft{os.getpid()}"
_PASSWORD: Final = secrets.token_hex(16)
_SUBNET: Final = "10.231.77"


class FarRedis(RedisServer):
    """A Redis in a network namespace, on the other end of a wire; skips the row without one."""

    def __init__(self, directory: Path, *, row: str) -> None:
        super().__init__(directory)
        if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("tc")):
            skip(row, "a network of its own needs root, ip and tc")
        try:
            _run("ip", "netns", "add", _NAME)
            _run("ip", "link", "add", _HERE, "type", "veth", "peer", _THERE, "netns", _NAME)
        except subprocess.CalledProcessError as error:
            skip(row, f"no network of its own can be made here: {error.stderr.strip()[:100]}")
        _run("ip", "addr", "add", f"{_SUBNET}.1/30", "dev", _HERE)
        _run("ip", "link", "set", _HERE, "up")
        _there("ip", "addr", "add", f"{_SUBNET}.2/30", "dev", _THERE)
        _there("ip", "link", "set", _THERE, "up")

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"redis://:{_PASSWORD}@{_SUBNET}.2:{self.port}/0"

    def _prepare(self) -> list[str]:
        argv = super()._prepare()
        bind = ["--bind", f"{_SUBNET}.2", "--requirepass", _PASSWORD]
        return ["ip", "netns", "exec", _NAME, *argv, *bind]

    def is_ready(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def drop(self, *how: str) -> None:
        """Lose packets both ways, by a discipline of tc. Raises CalledProcessError."""
        _run("tc", "qdisc", "replace", "dev", _HERE, "root", *how)
        _there("tc", "qdisc", "replace", "dev", _THERE, "root", *how)

    def mend(self) -> None:
        """Lose none any more."""
        _run("tc", "qdisc", "del", "dev", _HERE, "root")
        _there("tc", "qdisc", "del", "dev", _THERE, "root")

    @staticmethod
    def remove() -> None:
        """Take the network away."""
        subprocess.run(["ip", "netns", "del", _NAME], check=False, timeout=10, capture_output=True)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=10, capture_output=True, text=True)


def _there(*argv: str) -> None:
    _run("ip", "netns", "exec", _NAME, *argv)
