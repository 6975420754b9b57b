"""Calls to a Redis over one connection: those of one turn of the loop go out in one piece.

Partitions that have news at the same time ask at the same time. What many of them want to read is
one MGET, and one write and one read of the socket do for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Connection

from projector.read_model.asked import Command, Next, Read, Several, SharedReads, Values
from projector.read_model.reasons import reason
from projector.read_model.wire import ENDED, NO_ANSWER, Away, RefusedError, Wire, wire_to

_Asked = SharedReads | Command[int] | Several | Next
SHARED_MAX: Final = 512
"""Names of an MGET to which nobody is added any more: one that is long holds up everybody else."""


class Calls:
    """Calls over one connection, made when it is needed; use it in one event loop, then `close`.

    `connection`: makes what says where to connect, and as whom. A call raises `Away` where there is
    no reply in time, and `RefusedError` where it is an error: nothing was done, and the client's
    own way finds out what is wrong.
    """

    def __init__(
        self, connection: Callable[[], Connection], *, timeout_s: float, connect_timeout_s: float
    ) -> None:
        self._connection = connection
        self._timeout_s: Final = timeout_s
        self._connect_timeout_s: Final = connect_timeout_s
        self._asked: list[_Asked] = []
        self._reads: SharedReads | None = None
        self._wire: Wire[_Asked] | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def get(self, names: Sequence[str]) -> Values:
        """Values of `names`, all of one moment."""
        if self._reads is None or len(self._reads.names) >= SHARED_MAX:
            self._reads = SharedReads()
            self._enter(self._reads)
        read = Read(names, asyncio.get_running_loop().create_future())
        self._reads.add(read)
        return await read.values

    async def run(self, command: Sequence[object]) -> int:
        """Reply of a script that gives a number."""
        script = Command(int, *command)
        self._enter(script)
        return await script.reply

    async def all(self, commands: Sequence[Sequence[object]]) -> list[Any]:
        """Replies to commands, in their order; they go out in one piece, not as one step."""
        if not commands:
            return []
        several = Several(commands)
        self._enter(several)
        following = Next(several)
        self._asked.extend([following] * (len(commands) - 1))
        return await several.replies

    async def close(self) -> None:
        """End the connection; whoever still waits is told that it is away."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._wire is not None:
            self._wire.lose(ENDED)

    def _enter(self, asked: _Asked) -> None:
        if not self._asked and self._connecting is None:
            asyncio.get_running_loop().call_soon(self._send)
        self._asked.append(asked)

    def _send(self) -> None:
        """Send what has gathered; first connect, where that is to be done."""
        if self._wire is None or self._wire.is_closed:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            return
        asked, self._asked, self._reads = self._asked, [], None
        self._wire.ask(asked)

    async def _connect(self) -> None:
        trouble: Exception = Away(NO_ANSWER)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._wire = await wire_to(self._connection(), self._new_wire)
        except RefusedError as refused:
            trouble = refused
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            trouble = Away(reason(error))
        finally:
            self._connecting = None
            if self._wire is None or self._wire.is_closed:
                asked, self._asked, self._reads = self._asked, [], None
                for each in asked:
                    self._answered(each, trouble)
            else:
                self._send()

    def _new_wire(self, greetings: int) -> Wire[_Asked]:
        return Wire(greetings, self._answered, self._timeout_s)

    @staticmethod
    def _answered(asked: _Asked, reply: object) -> None:
        if not isinstance(asked, SharedReads):
            asked.answer(reply)
        elif not asked.answer(reply):
            for read in asked.reads:
                read.fail(reply)
