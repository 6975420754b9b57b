"""Connections to a Redis, as the client has them, but for how they pack commands."""

from __future__ import annotations

from typing import Any

from hiredis import pack_command
from redis.asyncio import Connection, SSLConnection


class _Packing:
    """Packs commands in C; the client's own way costs more than the fold of what it packs."""

    def pack_command(self, *args: Any) -> list[bytes]:  # noqa: ANN401 - as the client has it
        """Bytes of a command."""
        words = args[0].encode().split() if isinstance(args[0], str) else [args[0]]
        return [pack_command((*words, *args[1:]))]


class _Connection(_Packing, Connection):
    pass


class _TlsConnection(_Packing, SSLConnection):
    pass


def connection_class(url: str) -> type[Connection]:
    """Class of the connections to a Redis URL: a pool takes it whatever the URL says."""
    return _TlsConnection if url.startswith("rediss:") else _Connection
