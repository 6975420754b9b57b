"""HTTP/1.1 over keep-alive connections to one worker, as cheap as asyncio lets it be.

An open loop of a thousand requests a second shares two cores with all that it asks.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import httptools
from orjson import dumps

CONNECTIONS_MAX: Final = 4_096


class Broken(Exception):
    """The connection was refused, or it broke before there was an answer."""


class Reply(NamedTuple):
    """What was answered; names of headers in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def request(
    method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> bytes:
    """Bytes of a request."""
    content = b"" if body is None else dumps(body)
    named = {
        "host": "127.0.0.1",
        "content-type": "application/vnd.api+json",
        "content-length": str(len(content)),
        **(headers or {}),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


class _Connection(asyncio.Protocol):
    """A connection with one request at a time."""

    def __init__(self, idle: list[_Connection]) -> None:
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        reply, self._reply = self._reply, None
        answered = Reply(self._parser.get_status_code(), self._headers, self._body)
        if self._headers.get(b"connection", b"").lower() == b"close":
            self.close()
        else:
            self._begin()
            self._idle.append(self)
        if reply is not None and not reply.done():
            reply.set_result(answered)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self in self._idle:
            self._idle.remove(self)
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Broken(repr(exc)))

    async def ask(self, content: bytes) -> Reply:
        """Send a request and wait for its answer. Raises `Broken`."""
        if self._transport is None or self._transport.is_closing():
            raise Broken("closed")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(content)
        try:
            return await self._reply
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


class Peer:
    """One worker, by its own port."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []
        self._busy = 0

    async def ask(self, content: bytes, limit_s: float) -> Reply:
        """Ask on a connection that is free, else on a new one.

        Raises `Broken`, and `TimeoutError` after `limit_s`, or where too many wait already.
        """
        if self._busy >= CONNECTIONS_MAX:
            raise TimeoutError
        self._busy += 1
        try:
            async with asyncio.timeout(limit_s):
                connection = self._idle.pop() if self._idle else await self._connect()
                return await connection.ask(content)
        finally:
            self._busy -= 1

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._idle), "127.0.0.1", self._port
            )
        except OSError as error:
            raise Broken(repr(error)) from None
        return connection

    def close(self) -> None:
        """End the connections that are free."""
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()
