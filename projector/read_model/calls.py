"""Calls to a Redis over one connection: those of one turn of the loop go out in one piece.

Partitions that have news at the same time ask at the same time. What many of them want to read is
one MGET, and one write and one read of the socket do for all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hiredis import ReplyError
from redis.asyncio import Connection

from projector.read_model.reasons import reason
from projector.read_model.wire import NO_ANSWER, Away, RefusedError, Wire, packed, wire_to

T = TypeVar("T")
SHARED_MAX: Final = 512
"""Names of an MGET to which nobody is added any more: one that is long holds up everybody else."""


class _Script:
    """One command with a number for a reply."""

    def __init__(self, command: Sequence[object], reply: asyncio.Future[int]) -> None:
        self.packed = packed(*command)
        self.sent_at = time.monotonic()
        self._reply = reply

    def answer(self, reply: object) -> None:
        """Give the reply."""
        _settle(self._reply, reply, int)


class _Reads:
    """What several have asked for, as one MGET."""

    def __init__(self) -> None:
        self.sent_at = time.monotonic()
        self.count = 0
        self._asked: list[tuple[Sequence[str], asyncio.Future[list[bytes | None]]]] = []

    def add(self, names: Sequence[str], values: asyncio.Future[list[bytes | None]]) -> None:
        """Let somebody share it."""
        self._asked.append((names, values))
        self.count += len(names)

    @property
    def packed(self) -> bytes:
        """The command."""
        return packed("MGET", *(name for names, _ in self._asked for name in names))

    def answer(self, reply: object) -> None:
        """Give everybody what they asked for."""
        start = 0
        for names, values in self._asked:
            end = start + len(names)
            part = reply[start:end] if isinstance(reply, list) else reply
            _settle(values, part, list)
            start = end


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
        self._asked: list[_Script | _Reads] = []
        self._reads: _Reads | None = None
        self._wire: Wire[_Script | _Reads] | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def get(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of `names`, all of one moment."""
        values: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        if self._reads is None or self._reads.count >= SHARED_MAX:
            self._reads = _Reads()
            self._enter(self._reads)
        self._reads.add(names, values)
        return await values

    async def run(self, command: Sequence[object]) -> int:
        """Reply of a script that gives a number."""
        reply: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enter(_Script(command, reply))
        return await reply

    async def close(self) -> None:
        """End the connection; whoever still waits is told that it is away."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        if self._wire is not None:
            self._wire.lose("it is not asked any more")

    def _enter(self, asked: _Script | _Reads) -> None:
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
                    each.answer(trouble)
            else:
                self._send()

    def _new_wire(self, greetings: int) -> Wire[_Script | _Reads]:
        return Wire(greetings, lambda asked, reply: asked.answer(reply), self._timeout_s)


def _settle(waiting: asyncio.Future[T], reply: object, kind: type[T]) -> None:
    """Give a reply to whoever still waits for it; an error is raised there."""
    if waiting.done():
        return
    if isinstance(reply, kind):
        waiting.set_result(reply)
    elif isinstance(reply, ReplyError):
        waiting.set_exception(RefusedError())
    elif isinstance(reply, Away | RefusedError):
        waiting.set_exception(type(reply)(*reply.args))
    else:
        waiting.set_exception(Away(NO_ANSWER))
