"""Coalesced reads of one replica: whoever asks in one turn of the loop shares an MGET.

A check is little more than this read, so it has a connection of its own, and no task, lock or timer
of a client's for each command. So has the look at the clock and the heads, which finds out whether
a replica is there: a worker that has too much to do must not take its replicas for lost. Everything
else that a worker asks of a replica goes through the client's pool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from hiredis import ReplyError
from redis.asyncio import Connection

from projector.read_model.asked import Command, Read, SharedReads, Values
from projector.read_model.reasons import reason
from projector.read_model.wire import ENDED, LATE, NO_ANSWER, Away, RefusedError, Wire, wire_to

TIMEOUT_S: Final = 0.15
CONNECT_S: Final = 1.0
"""Of a connection in the making; who reads waits no longer than for a reply."""
IN_FLIGHT_MAX: Final = 2
"""MGETs without a reply: the more there are, the fewer reads share one."""
KEYS_MAX: Final = 1024
_Asked = SharedReads | Command[list[bytes]]


class Reads:
    """Reads over one connection, made when it is needed.

    `connection`: makes what says where to connect, and as whom. `otherwise`: reads by other means,
    where this connection is answered with an error; it finds out what is wrong.
    """

    def __init__(
        self,
        connection: Callable[[], Connection],
        otherwise: Callable[[Sequence[str]], Awaitable[Values]],
    ) -> None:
        self._connection = connection
        self._otherwise = otherwise
        self._asked: list[Read] = []
        self._due = False
        self._wire: Wire[_Asked] | None = None
        self._why = "it was not asked yet"
        self._connecting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, names: Sequence[str]) -> asyncio.Future[Values]:
        """Values of `names`, all of one moment; the future raises `Away`."""
        loop = asyncio.get_running_loop()
        read = Read(names, loop.create_future())
        self._asked.append(read)
        if not self._due:
            self._due = True
            loop.call_soon(self._send)
        return read.values

    async def survey(self, names: Sequence[str]) -> tuple[int, float, Values]:
        """Replica's clock, the monotonic time at which it was so, and values. Raises `Away`."""
        wire = await self._connected()
        clock, batch = Command[list[bytes]](list, "TIME"), SharedReads()
        read = Read(names, asyncio.get_running_loop().create_future())
        batch.add(read)
        wire.ask((clock, batch))
        try:
            (seconds, microseconds), values = await asyncio.gather(clock.reply, read.values)
        except RefusedError:
            raise Away(NO_ANSWER) from None
        at = (clock.sent_at + clock.answered_at) / 2
        return int(seconds) * 1000 + int(microseconds) // 1000, at, values

    async def close(self) -> None:
        """End the connection; whoever still waits is told that it is away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wire is not None:
            self._wire.lose(ENDED)
        self._fail(self._taken(), Away(ENDED))

    def _send(self) -> None:
        """Ask for what has gathered, unless enough is asked for already."""
        self._due = False
        wire = self._wire
        if wire is None or wire.is_closed:
            self._connect()
            return
        while self._asked and len(wire.in_flight) < IN_FLIGHT_MAX:
            batch = self._batch()
            if batch.reads:
                wire.ask((batch,))

    def _batch(self) -> SharedReads:
        batch = SharedReads()
        taken = 0
        for read in self._asked:
            if len(batch.names) >= KEYS_MAX:
                break
            taken += 1
            if not read.values.done():
                batch.add(read)
        del self._asked[:taken]
        return batch

    async def _connected(self) -> Wire[_Asked]:
        """Return the connection, made anew where there is none. Raises `Away`."""
        if self._wire is None or self._wire.is_closed:
            await asyncio.shield(self._connect())
        if self._wire is None or self._wire.is_closed:
            raise Away(self._why)
        return self._wire

    def _connect(self) -> asyncio.Task[None]:
        """Return what connects, begun before or now."""
        if self._connecting is None:
            self._connecting = self._do(self._try())
        return self._connecting

    async def _try(self) -> None:
        self._due = True  # nothing is sent meanwhile
        late = Away(LATE)
        loop = asyncio.get_running_loop()
        waiting = loop.call_later(TIMEOUT_S, lambda: self._fail(self._taken(), late))
        try:
            async with asyncio.timeout(CONNECT_S):
                self._wire = await wire_to(self._connection(), self._new_wire)
        except RefusedError:
            self._why = await self._told()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._why = reason(error)
        finally:
            waiting.cancel()
            self._connecting = None
            self._due = False
            if self._wire is None or self._wire.is_closed:
                self._fail(self._taken(), Away(self._why))
        if self._asked:
            self._send()

    def _new_wire(self, greetings: int) -> Wire[_Asked]:
        return Wire(greetings, self._answered, TIMEOUT_S)

    async def _told(self) -> str:
        """Why the greeting was refused."""
        try:
            await self._otherwise(["greeting"])
        except Away as away:
            return str(away)
        return "it refused, and does no more"

    def _taken(self) -> list[Read]:
        taken, self._asked = self._asked, []
        return taken

    def _answered(self, asked: _Asked, reply: object) -> None:
        """Give everybody what they asked for; `reply` is an `Away` where it is lost."""
        if isinstance(asked, Command):
            asked.answer(reply)
            return
        if asked.answer(reply):
            pass
        elif isinstance(reply, ReplyError):
            self._do(self._ask_otherwise(asked.reads))
        else:
            # Whoever waits behind would only wait for the same.
            away = reply if isinstance(reply, Away) else Away(NO_ANSWER)
            self._fail([*asked.reads, *self._taken()], away)
            if self._wire is not None:
                self._wire.lose(NO_ANSWER)
        if self._asked and not self._due:
            self._send()

    async def _ask_otherwise(self, reads: Sequence[Read]) -> None:
        away = Away(NO_ANSWER)
        try:
            for read in reads:
                read.answer(await self._otherwise(read.names))
        except Away as told:
            away = told
        finally:
            # Whatever it was, nobody waits for ever.
            self._fail(reads, away)

    def _do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _fail(reads: Sequence[Read], away: Away) -> None:
        for read in reads:
            read.fail(away)
