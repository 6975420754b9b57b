"""One connection to a Redis, no more than is needed: what is asked goes out, and replies come back.

Packed and parsed in C, with one timer for all that is in flight. A reply that is late because this
process was is read before anything is called lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from hiredis import HiredisError, ReplyError, pack_command
from hiredis import Reader as Replies
from redis.asyncio import Connection, SSLConnection

from projector.read_model.reasons import CLOSED, reason

LATE: Final = "it does not answer (TimeoutError)"
NO_ANSWER: Final = "it answers with what is no answer"
ENDED: Final = "it is not asked any more"
_AGAIN_S: Final = 0.001


class Away(Exception):
    """The replica did not answer in time, or not with what it was asked for."""


class RefusedError(Exception):
    """The server has answered with an error: it did nothing."""


class Asked(Protocol):
    """What is asked: the bytes of a command, and when they went out (monotonic, s)."""

    @property
    def packed(self) -> bytes:
        """Bytes of the command."""

    @property
    def sent_at(self) -> float:
        """When they went out."""


A = TypeVar("A", bound=Asked)
W = TypeVar("W", bound="Wire[Any]")


class Wire(asyncio.Protocol, Generic[A]):
    """The connection. `answered` is called with each of what was asked and its reply.

    The reply is one of hiredis, a `ReplyError` too, or an `Away` where the connection is lost, as
    it is called when a reply takes longer than `timeout_s`.
    """

    def __init__(
        self, greetings: int, answered: Callable[[A, object], None], timeout_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self.in_flight: deque[A] = deque()
        self.is_closed = False
        self.greeted: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._greetings = greetings
        self._answered = answered
        self._timeout_s = timeout_s
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

    def ask(self, asked: Sequence[A]) -> None:
        """Send commands, all in one piece."""
        self.in_flight.extend(asked)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        self.write(b"".join([each.packed for each in asked]))

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
        left_s = self.in_flight[0].sent_at + self._timeout_s - time.monotonic()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        elif not again:
            self._timer = self._loop.call_later(_AGAIN_S, lambda: self._look(again=True))
        else:
            self.lose(LATE)


class Subscription(Wire[Asked]):
    """A connection on which replies come unasked; `heard` gets each, and an `Away` at the end."""

    def __init__(self, greetings: int, heard: Callable[[object], None]) -> None:
        super().__init__(greetings, lambda _, reply: heard(reply), float("inf"))
        self._heard = heard

    def lose(self, why: str) -> None:
        """End the connection, and say that it is lost."""
        if not self.is_closed:
            super().lose(why)
            self._heard(Away(why))

    def _take(self, reply: object) -> None:
        if self._greetings:
            super()._take(reply)
        else:
            self._heard(reply)


async def wire_to(made: Connection, wire_of: Callable[[int], W]) -> W:
    """Connect as `made` would, and greet. Raises `OSError` and `RefusedError`.

    `wire_of`: makes the wire, for so many replies to the greeting.
    """
    greeting: list[tuple[str, ...]] = []
    if made.password:
        greeting.append(("AUTH", *([made.username] if made.username else []), made.password))
    if made.db:
        greeting.append(("SELECT", str(made.db)))
    tls = made.ssl_context.get() if isinstance(made, SSLConnection) else None
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: wire_of(len(greeting)), made.host, made.port, ssl=tls
    )
    try:
        wire.write(b"".join(packed(*command) for command in greeting))
        await wire.greeted
    except BaseException:
        wire.lose("it refuses")
        raise
    return wire


def packed(*command: object) -> bytes:
    """Bytes of a command."""
    made: bytes = cast("Any", pack_command)(command)  # its types know commands of one word only
    return made
