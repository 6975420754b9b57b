"""One connection: bounded in the size and the time of what comes, shown to the lane first.

uvicorn's protocol has few limits: here are those that a server on the internet needs.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.exchange import BODY_S, JSON_API
from api.problems import malformed

HEAD_BYTES_MAX: Final = 32 * 1024
"""Of a request's line and headers, before the gate's own limit can be told."""
HEAD_S: Final = 10.0
BODY_MAX_S: Final = BODY_S + 5.0
UNREAD_S: Final = 30.0
"""For how long a client may leave unread what it has asked for."""
KEEP_ALIVE_S: Final = 75
CONNECTIONS_MAX: Final = 8192
_LARGE: Final = f"A request's line and headers have at most {HEAD_BYTES_MAX} bytes: send fewer."
_UNREADABLE: Final = "This can't be read as HTTP/1.1: send a request of its form."


class _Together:
    """A transport to which an answer's head and body go as one piece: each is a wake of somebody.

    What isn't flushed goes out in the loop's next turn.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self.is_closing: Final = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        held, self._held = self._held, []
        if held and not self.is_closing():
            self._transport.write(b"".join(held))

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Lane(Protocol):
    """Answers some requests before they are taken apart."""

    def take(
        self, data: bytes, client: tuple[str, int] | None, done: Callable[[bytes | None], None]
    ) -> bool:
        """Begin to answer a whole request, or leave it alone and give False.

        `done` is called once, later: with what follows the status line of a 200 and the server's
        own headers, or with None where the request is to be answered as all others are.
        """


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose request heads are bounded in size and time.

    `lane`: is shown whole requests first.
    """

    _together: _Together
    _taken: bytes | None = None
    _behind: tuple[bytes, ...] = ()
    _in_message = False
    _is_ending = False
    _laned_at = 0.0
    _idling: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = False
    _impatience: asyncio.TimerHandle | None = None

    def __init__(self, *, lane: Lane | None = None, **of_uvicorn: Any) -> None:  # noqa: ANN401 - its own
        super().__init__(**of_uvicorn)
        self._lane = lane

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; too many are closed at once."""
        super().connection_made(transport)
        self._together = _Together(transport, self.loop)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._impatience = self.loop.call_later(HEAD_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._be_patient()
        for timer in (self._idling, self._unread):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, to the lane or to the parser; a head that does not end is refused."""
        if self._taken is not None:
            self._behind += (data,)
            self.flow.pause_reading()
        elif self._is_between and self._lane is not None and self._take(data):
            self._taken = data
        else:
            self._parse(data)

    @property
    def _is_between(self) -> bool:
        """Whether all requests are answered and their answers taken, and none has begun."""
        if self._in_message or self.flow.write_paused:
            return False
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _take(self, data: bytes) -> bool:
        assert self._lane is not None  # noqa: S101 - seen by who calls
        if not self._lane.take(data, self.client, self._done):
            return False
        self._laned_at = time.monotonic()
        self._be_patient()
        self._unset_keepalive_if_required()
        if self._idling is None:
            self._idling = self.loop.call_later(KEEP_ALIVE_S, self._look_idle)
        return True

    def _done(self, answer: bytes | None) -> None:
        """Send what the lane has answered, or do what it leaves to be done."""
        taken, self._taken = self._taken, None
        behind, self._behind = self._behind, ()
        if self.transport.is_closing() or taken is None:
            return
        if answer is None:
            self._parse(taken)
        else:
            dates = b"".join(b"%b: %b\r\n" % each for each in self.server_state.default_headers)
            self.transport.write(b"HTTP/1.1 200 OK\r\n%b%b" % (dates, answer))
            self.server_state.total_requests += 1
        if self._is_ending:
            super().shutdown()
        if behind:
            self.flow.resume_reading()
            self.data_received(b"".join(behind))

    def _look_idle(self) -> None:
        """Close a connection that nobody has used for long, whose last request took the lane."""
        self._idling = None
        left_s = self._laned_at + KEEP_ALIVE_S - time.monotonic()
        if left_s > 0:
            self._idling = self.loop.call_later(left_s, self._look_idle)
        elif self._taken is None and self._is_between and self.timeout_keep_alive_task is None:
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
        elif self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(_LARGE)

    def shutdown(self) -> None:
        """Take no more requests; the one in progress is answered."""
        if self._taken is None:
            super().shutdown()
        else:
            self._is_ending = True

    def pause_writing(self) -> None:
        """Write no more until the client reads; one that doesn't is let go."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def on_message_begin(self) -> None:
        """Begin a request's head."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._be_patient()
        self._impatience = self.loop.call_later(HEAD_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        """End a request's head; its body has its own time, which who reads it may cut shorter."""
        self._in_head = False
        self._be_patient()
        self._impatience = self.loop.call_later(BODY_MAX_S, self.transport.abort)
        super().on_headers_complete()
        together: Any = self._together
        self.cycle.transport = together

    def on_response_complete(self) -> None:
        """End an answer."""
        self._together.flush()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """End a request."""
        self._in_message = False
        self._be_patient()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form that clients can read."""
        text = msg if msg == _LARGE else _UNREADABLE
        body = malformed("REQUEST_INVALID", text).document(secrets.token_hex(16))
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {JSON_API}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _be_patient(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None
