"""An open loop over HTTP: requests at a fixed rate, whatever the answers take.

A closed loop, as wrk's, waits with the next request for the answer, so a stall of the server is
seen by as many requests as there are connections. Here a request has its time; if no connection is
free it waits for one, and its latency counts from its time on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from math import inf
from time import perf_counter
from typing import cast

import httptools
import uvloop
from msgspec import Struct

CONNECTIONS = 128
GRACE_S = 5.0
"""For so long after the last request answers are waited for."""


class Latencies(Struct, frozen=True, kw_only=True):
    """What an open loop got: answers, and requests without one; latencies in ms, of all of them.

    A request without an answer took for ever.
    """

    answered: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class OpenLoopError(Exception):
    """An answer was not what the figure is about, or a connection was lost."""


def open_loop(
    url: str,
    path: str,
    bodies: Sequence[str],
    *,
    expect: int,
    per_s: float,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Latencies:
    """POST `bodies` in turn, `per_s` a second. Raises `OpenLoopError` for any other status."""
    host, _, port = url.removeprefix("http://").partition(":")
    requests = [_request(f"{host}:{port}", path, body) for body in bodies]
    loop = _Loop(requests, expect=expect, per_s=per_s, count=int(per_s * seconds))
    return uvloop.run(loop.run(host, int(port), connections))


def _request(host: str, path: str, body: str) -> bytes:
    content = body.encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/vnd.api+json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class _Loop:
    """One run: what is due, what is under way, and what it took."""

    def __init__(self, requests: Sequence[bytes], *, expect: int, per_s: float, count: int) -> None:
        self._requests = requests
        self._every_s = 1 / per_s
        self._count = count
        self.expect = expect
        self._due: deque[float] = deque()
        self._free: deque[_Connection] = deque()
        self._sent = 0
        self._took_ms: list[float] = []
        self._done = asyncio.Event()
        self.wrong: str = ""

    async def run(self, host: str, port: int, connections: int) -> Latencies:
        loop = asyncio.get_running_loop()
        made = [
            (await loop.create_connection(lambda: _Connection(self), host, port))[1]
            for _ in range(connections)
        ]
        self._free.extend(made)
        try:
            await self._pace()
            async with asyncio.timeout(GRACE_S):
                await self._done.wait()
        except TimeoutError:
            pass
        finally:
            for connection in made:
                connection.close()
        if self.wrong:
            raise OpenLoopError(self.wrong)
        return self._latencies()

    async def _pace(self) -> None:
        """Let each request be due at its time; many at once where the timer is late."""
        started = perf_counter()
        for number in range(self._count):
            at = started + number * self._every_s
            left_s = at - perf_counter()
            if left_s > 0:
                await asyncio.sleep(left_s)
            self._due.append(at)
            self._send()

    def _send(self) -> None:
        while self._due and self._free:
            connection = self._free.popleft()
            content = self._requests[self._sent % len(self._requests)]
            self._sent += 1
            connection.ask(content, self._due.popleft())

    def answered(self, connection: _Connection, at: float) -> None:
        """Take an answer of a request that was due `at`."""
        self._took_ms.append((perf_counter() - at) * 1000)
        self._free.append(connection)
        if len(self._took_ms) == self._count:
            self._done.set()
        self._send()

    def failed(self, why: str) -> None:
        """End the run: the figure would be of something else."""
        self.wrong = self.wrong or why
        self._done.set()

    def _latencies(self) -> Latencies:
        answered = len(self._took_ms)
        took = sorted(self._took_ms) + [inf] * (self._count - answered)
        return Latencies(
            answered=answered,
            unanswered=self._count - answered,
            p50_ms=took[len(took) // 2],
            p99_ms=took[len(took) * 99 // 100],
            max_ms=took[-1],
        )


class _Connection(asyncio.Protocol):
    """One connection, with one request under way at most."""

    def __init__(self, loop: _Loop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._at = 0.0
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed:
            self._loop.failed(f"a connection was lost: {exc}")

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status != self._loop.expect:
            self._loop.failed(f"expected {self._loop.expect}, got {status}")
            return
        self._loop.answered(self, self._at)

    def ask(self, content: bytes, at: float) -> None:
        """Send a request that was due `at`."""
        assert self._transport is not None
        self._at = at
        self._transport.write(content)

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()
