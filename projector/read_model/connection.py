"""Connections to a Redis, as the client has them, but for how they pack and send commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from hiredis import pack_command
from redis.asyncio import Connection, SSLConnection


class _Own(Connection):
    """Packs commands in C; the client's own way costs more than the fold of what it packs."""

    def pack_command(self, *args: Any) -> list[bytes]:  # noqa: ANN401 - as the client has it
        """Bytes of a command."""
        words = args[0].encode().split() if isinstance(args[0], str) else [args[0]]
        return [pack_command((*words, *args[1:]))]

    async def send_packed_command(
        self,
        command: bytes | str | Iterable[bytes],
        check_health: bool = True,  # noqa: FBT001, FBT002 - the client has it so
    ) -> None:
        """Send a command; who is cancelled meanwhile hears of it.

        The client waits by `asyncio.wait_for`. Before Python 3.12 that drops a cancellation which
        comes just as the sending is done, and who should have ended goes on for ever.
        """
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > before:
            # Nobody reads the reply: the connection is of no use any more.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


class _OwnTls(_Own, SSLConnection):
    pass


def connection_class(url: str) -> type[Connection]:
    """Class of the connections to a Redis URL: a pool takes it whatever the URL says."""
    return _OwnTls if url.startswith("rediss:") else _Own
