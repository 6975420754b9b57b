"""What is wrong with a Redis, said for people; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from ledger.connections import tls_trouble

_MEMORY_FULL: Final = "its memory is full"
_TROUBLE: Final[Mapping[type[RedisError], str]] = {
    BusyLoadingError: "it is loading its data",
    OutOfMemoryError: _MEMORY_FULL,
    ReadOnlyError: "it takes no writes",
    AuthenticationError: "it refuses the user or the password (LEDGER_REDIS_USER, "
    "LEDGER_REDIS_PASSWORD_FILE)",
    NoPermissionError: "it refuses this user what it needs (docs/operations/security.md, Redis)",
}
CLOSED: Final = "Connection closed by server"
_TROUBLE_WORDS: Final = {
    "OOM": _MEMORY_FULL,
    "MISCONF": "it can't write to its disk",
    "BUSY": "a script keeps it busy",
}
"""Errors that the client has no class for, and those that Redis 6.2 wraps into a script's."""


def reason(error: Exception) -> str:
    """Say what is wrong with a Redis; the server's own text may hold keys and values."""
    if (trouble := tls_trouble(error)) is not None:
        return f"{trouble} (LEDGER_REPLICAS, LEDGER_REDIS_CA_FILE)"
    for kind, meaning in _TROUBLE.items():
        if isinstance(error, kind):
            return meaning
    if CLOSED in str(error) or isinstance(error.__context__, ConnectionResetError):
        return "it does not answer: it closes the connection (does it want TLS, rediss://?)"
    if not isinstance(error, ResponseError):
        return f"it does not answer ({type(error).__name__})"
    for word, meaning in _TROUBLE_WORDS.items():
        if word in str(error):
            return meaning
    return f"it answers with an error ({type(error).__name__})"
