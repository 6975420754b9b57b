"""Coalesced reads of one replica: whoever asks in one turn of the loop shares an MGET.

A check is little more than this read, so it has a connection of its own that packs and parses in
C, and no task, lock or timer of a client's for each command. Everything else that a worker asks of
a replica goes through the client's pool.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, cast

from hiredis import HiredisError, ReplyError, pack_command
from hiredis import Reader as Replies
from redis.asyncio import Connection, SSLConnection

from projector.read_model.redis import CLOSED, reason

TIMEOUT_S: Final = 0.15
IN_FLIGHT_MAX: Final = 2
"""MGETs without a reply: the more there are, the fewer reads share one."""
KEYS_MAX: Final = 1024

_NO_ANSWER: Final = "it answers with what is no answer"

Values = list[bytes | None]


class Away(Exception):
    """The replica did not answer in time, or not with what it was asked for."""


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
        self._asked: list[_Read] = []
        self._wire: _Wire | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._due = False

    def read(self, names: Sequence[str]) -> asyncio.Future[Values]:
        """Values of `names`, all of one moment; the future raises `Away`."""
        loop = asyncio.get_running_loop()
        read = _Read(names, loop.create_future())
        self._asked.append(read)
        if not self._due:
            self._due = True
            loop.call_soon(self._send)
        return read.values

    async def close(self) -> None:
        """End the connection; whoever still waits is told that it is away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wire is not None:
            self._wire.lose("it is not asked any more")
        self._fail(self._asked, "it is not asked any more")

    def _send(self) -> None:
        """Ask for what has gathered, unless enough is asked for already."""
        self._due = False
        wire = self._wire
        if wire is None or wire.is_closed:
            self._due = True  # until it is connected, or can't be
            self._do(self._connect())
            return
        while self._asked and len(wire.in_flight) < IN_FLIGHT_MAX:
            wire.ask(self._batch())

    def _batch(self) -> _Batch:
        batch = _Batch()
        taken = 0
        for read in self._asked:
            if len(batch.names) >= KEYS_MAX:
                break
            taken += 1
            if not read.values.done():
                batch.add(read)
        del self._asked[:taken]
        return batch

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._wire = await _connected(self._connection(), self._answered)
        except _RefusedError:
            self._due = False
            await self._ask_otherwise(self._taken())
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
            self._due = False
            self._fail(self._taken(), reason(error))
        else:
            self._send()

    def _taken(self) -> list[_Read]:
        taken, self._asked = self._asked, []
        return taken

    def _answered(self, batch: _Batch, reply: object) -> None:
        """Give everybody of a batch what they asked for; `reply` is an `Away` where it is lost."""
        if isinstance(reply, list) and len(reply) == len(batch.names):
            batch.answer(reply)
        elif isinstance(reply, ReplyError):
            self._do(self._ask_otherwise(batch.reads))
        else:
            # Whoever waits behind would only wait for the same.
            away = reply if isinstance(reply, Away) else Away(_NO_ANSWER)
            self._fail([*batch.reads, *self._taken()], *away.args)
            if self._wire is not None:
                self._wire.lose(_NO_ANSWER)
        if self._asked and not self._due:
            self._send()

    async def _ask_otherwise(self, reads: Sequence[_Read]) -> None:
        for read in reads:
            try:
                values = await self._otherwise(read.names)
            except Away as away:
                self._fail(reads, *away.args)
                return
            read.answer(values)

    def _do(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _fail(reads: Sequence[_Read], *why: object) -> None:
        for read in reads:
            if not read.values.done():
                read.values.set_exception(Away(*why))


class _Read:
    """Names that somebody asked for."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[str], values: asyncio.Future[Values]) -> None:
        self.names = names
        self.values = values

    def answer(self, values: Values) -> None:
        if not self.values.done():
            self.values.set_result(values)


class _Batch:
    """Reads that share one MGET; a name that several ask for is asked for once."""

    __slots__ = ("names", "places", "reads", "sent_at")

    def __init__(self) -> None:
        self.reads: list[_Read] = []
        self.names: dict[str, int] = {}
        self.places: list[list[int]] = []
        self.sent_at = time.monotonic()

    def add(self, read: _Read) -> None:
        names = self.names
        self.reads.append(read)
        self.places.append([names.setdefault(name, len(names)) for name in read.names])

    def answer(self, values: Values) -> None:
        for read, places in zip(self.reads, self.places, strict=True):
            if not read.values.done():
                read.values.set_result([values[place] for place in places])


class _RefusedError(Exception):
    """The server has answered the greeting with an error."""


class _Wire(asyncio.Protocol):
    """One connection: batches go out, and replies come back in their order."""

    def __init__(self, greetings: int, answered: Callable[[_Batch, object], None]) -> None:
        self.in_flight: deque[_Batch] = deque()
        self.is_closed = False
        loop = asyncio.get_running_loop()
        self.greeted: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._greetings = greetings
        self._answered = answered
        self._replies = Replies()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        if not greetings:
            self.greeted.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.lose(reason(ConnectionError(CLOSED)))

    def data_received(self, data: bytes) -> None:
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not False:
                self._take(reply)
        except (HiredisError, IndexError):
            self.lose(_NO_ANSWER)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._transport is None:
            return
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop's, for a connection that was closed a moment ago
            self.lose(reason(ConnectionError(CLOSED)))

    def ask(self, batch: _Batch) -> None:
        """Send a batch; `answered` is called with its reply."""
        if not batch.reads:
            return
        self.in_flight.append(batch)
        if self._timer is None:
            self._timer = self._loop.call_later(TIMEOUT_S, self._look)
        self.write(_packed("MGET", *batch.names))

    def lose(self, why: str) -> None:
        """End the connection, and say of everything in flight that it is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        if not self.greeted.done():
            self.greeted.set_exception(ConnectionError(CLOSED))
        while self.in_flight:
            self._answered(self.in_flight.popleft(), Away(why))

    def _take(self, reply: object) -> None:
        if self._greetings:
            self._greetings -= 1
            if isinstance(reply, ReplyError) and not self.greeted.done():
                self.greeted.set_exception(_RefusedError())
            elif not self._greetings and not self.greeted.done():
                self.greeted.set_result(None)
            return
        self._answered(self.in_flight.popleft(), reply)

    def _look(self, *, again: bool = False) -> None:
        """See whether the oldest batch is due; what has arrived meanwhile is read first."""
        self._timer = None
        if not self.in_flight:
            return
        left_s = self.in_flight[0].sent_at + TIMEOUT_S - time.monotonic()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif not again:
            self._timer = self._loop.call_later(0.001, lambda: self._look(again=True))
        else:
            self.lose("it does not answer (TimeoutError)")


async def _connected(made: Connection, answered: Callable[[_Batch, object], None]) -> _Wire:
    """Connect as `made` would, and greet. Raises `OSError` and `_RefusedError`."""
    greeting: list[tuple[str, ...]] = []
    if made.password:
        greeting.append(("AUTH", *([made.username] if made.username else []), made.password))
    if made.db:
        greeting.append(("SELECT", str(made.db)))
    tls = made.ssl_context.get() if isinstance(made, SSLConnection) else None
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: _Wire(len(greeting), answered), made.host, made.port, ssl=tls
    )
    try:
        wire.write(b"".join(_packed(*command) for command in greeting))
        await wire.greeted
    except BaseException:
        wire.lose("it refuses")
        raise
    return wire


def _packed(*command: str) -> bytes:
    packed: bytes = cast("Any", pack_command)(command)  # its types know commands of one word only
    return packed
