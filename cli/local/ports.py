"""Ports on loopback: which are free, which are taken."""

import random
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

LOOPBACK = "127.0.0.1"

# Below the ports that the kernel lends to outgoing connections (32,768 and up on Linux, 49,152 on
# macOS): a client that keeps calling a stopped server there may be lent the server's own port, and
# then it has connected to itself.
FIRST_PORT = 15_000
LAST_PORT = 31_999
_TRIES = 1_000
_CONNECT_TIMEOUT_S = 0.5


class NoFreePortError(Exception):
    """No free port was found in a bounded number of tries."""


def is_taken(port: int) -> bool:
    """Whether anything on this machine listens on the port, or holds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # A connection that lingers in TIME_WAIT does not keep a server from starting.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    # macOS lets a bind succeed beside a listener on all addresses.
    return answers(port)


def answers(port: int) -> bool:
    """Whether a connection to the port is accepted."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


@contextmanager
def connected(
    port: int, *, tls: ssl.SSLContext | None, timeout_s: float
) -> Iterator[socket.socket]:
    """A connection to a port on loopback, over TLS where a context is given. Raises `OSError`."""
    with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as plain:
        if tls is None:
            yield plain
            return
        with tls.wrap_socket(plain, server_hostname=LOOPBACK) as wrapped:
            yield wrapped


def free_ports(count: int) -> tuple[int, ...]:
    """`count` different free ports, at random, so that two callers at once rarely meet.

    Raises NoFreePortError.
    """
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            return tuple(found)
        port = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 - no secret
        if port not in found and not is_taken(port):
            found.append(port)
    message = f"no {count} free ports between {FIRST_PORT} and {LAST_PORT}"
    raise NoFreePortError(message)


def preferred_or_free(preferred: int) -> int:
    """The preferred port, or another one if it is taken. Raises NoFreePortError."""
    return preferred if not is_taken(preferred) else free_ports(1)[0]
