"""One connection to a Redis, no more than a read needs: batches go out, and replies come back.

Packed and parsed in C, with one timer for all that is in flight. A reply that is late because this
process was is read before anything is called lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from hiredis import HiredisError, ReplyError, pack_command
from hiredis import Reader as Replies
from redis.asyncio import Connection, SSLConnection

from projector.read_model.redis import CLOSED, reason

TIMEOUT_S: Final = 0.15
LATE: Final = "it does not answer (TimeoutError)"
NO_ANSWER: Final = "it answers with what is no answer"
_AGAIN_S: Final = 0.001

Values = list[bytes | None]


class Away(Exception):
    """The replica did not answer in time, or not with what it was asked for."""


class RefusedError(Exception):
    """The server has answered the greeting with an error."""


class Read:
    """Names that somebody asked for."""

    __slots__ = ("names", "values")

    def __init__(self, names: Sequence[str], values: asyncio.Future[Values]) -> None:
        self.names = names
        self.values = values

    def answer(self, values: Values) -> None:
        """Give what was asked for, where it is still wanted."""
        if not self.values.done():
            self.values.set_result(values)

    def fail(self, away: Away) -> None:
        """Say that there is no answer."""
        if not self.values.done():
            self.values.set_exception(Away(*away.args))


class Batch:
    """Reads that share one MGET; a name that several ask for is asked for once."""

    __slots__ = ("_places", "names", "reads", "sent_at")

    def __init__(self) -> None:
        self.reads: list[Read] = []
        self.names: dict[str, int] = {}
        self.sent_at = time.monotonic()
        self._places: list[list[int]] = []

    def add(self, read: Read) -> None:
        """Let a read share it."""
        names = self.names
        self.reads.append(read)
        self._places.append([names.setdefault(name, len(names)) for name in read.names])

    @property
    def packed(self) -> bytes:
        """The command."""
        return packed("MGET", *self.names)

    def answer(self, values: Values) -> None:
        """Give everybody what they asked for."""
        for read, places in zip(self.reads, self._places, strict=True):
            if not read.values.done():
                read.values.set_result([values[place] for place in places])


class Command:
    """One command with a list for a reply."""

    __slots__ = ("answered_at", "packed", "reply", "sent_at")

    def __init__(self, *words: str) -> None:
        self.reply: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        self.packed = packed(*words)
        self.sent_at = self.answered_at = time.monotonic()

    def answer(self, reply: object) -> None:
        """Give the reply."""
        self.answered_at = time.monotonic()
        if self.reply.done():
            return
        if isinstance(reply, list):
            self.reply.set_result(reply)
        else:
            self.reply.set_exception(reply if isinstance(reply, Away) else Away(NO_ANSWER))


class Wire(asyncio.Protocol):
    """The connection. `answered` is called with each of what was asked and its reply.

    The reply is one of hiredis, a `ReplyError` too, or an `Away` where the connection is lost.
    """

    def __init__(self, greetings: int, answered: Callable[[Asked, object], None]) -> None:
        loop = asyncio.get_running_loop()
        self.in_flight: deque[Asked] = deque()
        self.is_closed = False
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
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it is gone."""
        del exc
        self.lose(reason(ConnectionError(CLOSED)))

    def data_received(self, data: bytes) -> None:
        """Take replies."""
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not False:
                self._take(reply)
        except (HiredisError, IndexError):
            self.lose(NO_ANSWER)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._transport is None:
            return
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop's, for a connection that was closed a moment ago
            self.lose(reason(ConnectionError(CLOSED)))

    def ask(self, asked: Asked) -> None:
        """Send a batch or a command."""
        self.in_flight.append(asked)
        if self._timer is None:
            self._timer = self._loop.call_later(TIMEOUT_S, self._look)
        self.write(asked.packed)

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
        if not self._greetings:
            self._answered(self.in_flight.popleft(), reply)
            return
        self._greetings -= 1
        if self.greeted.done():
            return
        if isinstance(reply, ReplyError):
            self.greeted.set_exception(RefusedError())
        elif not self._greetings:
            self.greeted.set_result(None)

    def _look(self, *, again: bool = False) -> None:
        """See whether the oldest is due; what has arrived meanwhile is read first."""
        self._timer = None
        if not self.in_flight:
            return
        left_s = self.in_flight[0].sent_at + TIMEOUT_S - time.monotonic()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif not again:
            self._timer = self._loop.call_later(_AGAIN_S, lambda: self._look(again=True))
        else:
            self.lose(LATE)


Asked = Batch | Command


async def wire_to(made: Connection, answered: Callable[[Asked, object], None]) -> Wire:
    """Connect as `made` would, and greet. Raises `OSError` and `RefusedError`."""
    greeting: list[tuple[str, ...]] = []
    if made.password:
        greeting.append(("AUTH", *([made.username] if made.username else []), made.password))
    if made.db:
        greeting.append(("SELECT", str(made.db)))
    tls = made.ssl_context.get() if isinstance(made, SSLConnection) else None
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: Wire(len(greeting), answered), made.host, made.port, ssl=tls
    )
    try:
        wire.write(b"".join(packed(*command) for command in greeting))
        await wire.greeted
    except BaseException:
        wire.lose("it refuses")
        raise
    return wire


def packed(*command: str) -> bytes:
    """Bytes of a command."""
    made: bytes = cast("Any", pack_command)(command)  # its types know commands of one word only
    return made
