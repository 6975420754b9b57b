"""The driver against a tiny server: nothing that was due is left out, and nothing counted twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.faults import driver
from tests.faults.asking import Broken, Peer, request
from tests.faults.driver import OpenLoop, Question
from tests.faults.truth import Check, Story

BODY = b'{"meta":{"valid":true,"code":"VALID","position":"l:3.7","ageMs":2,"source":"REPLICA_A"}}'
OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
AWAY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(answer: bytes, *, after_s: float = 0.0) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            [length] = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
            await reader.readexactly(int(length.split(b":")[1]))
            await asyncio.sleep(after_s)
            writer.write(answer)

    return handle


async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[int]:
    open_: set[asyncio.Task[None]] = set()

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_.add(task)
        try:
            await handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(kept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in open_:
            task.cancel()


async def asked(ports: list[int], seconds: float, rate: float = 200) -> list[Check]:
    story = Story(partition=3)
    peers = [Peer(port) for port in ports]
    loop = OpenLoop(peers, "l", lambda: Question(story, "key", None), rate=rate)
    task = asyncio.create_task(loop.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await loop.finish()
    assert len(loop.checks) == loop.sent
    for peer in peers:
        peer.close()
    return loop.checks


async def test_it_is_an_open_loop() -> None:
    began = time.monotonic()
    async with serving(answering(OK, after_s=0.2)) as port:
        checks = await asked([port], 1.0)
    # A closed loop of one connection had come to five.
    assert len(checks) >= 0.9 * 200
    assert len(checks) <= 200 * (time.monotonic() - began) + 1
    assert all(check.said and check.said.offset == 7 for check in checks)
    assert min(check.late_ms for check in checks) >= 200


async def test_what_was_due_while_nobody_could_send_counts_from_when_it_was_due() -> None:
    async with serving(answering(OK)) as port:
        task = asyncio.create_task(asked([port], 0.5))
        await asyncio.sleep(0.2)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop stands still, and its checks with it
        checks = await task
    assert len(checks) >= 0.9 * 100
    assert max(check.late_ms for check in checks) >= 250


async def test_a_broken_connection_is_asked_elsewhere() -> None:
    async with serving(broken) as first, serving(answering(OK)) as second:
        checks = await asked([first, second], 0.3)
    assert all(check.said for check in checks)
    assert {check.over for check in checks} == {True, False}


async def test_503_silence_and_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIMIT_S", 0.2)
    async with serving(answering(AWAY)) as port:
        assert all(check.unavailable for check in await asked([port], 0.1))
    async with serving(answering(OK, after_s=5)) as port:
        silent = await asked([port], 0.1)
    gone = await asked([port], 0.1)
    for check in (*silent, *gone):
        assert check.said is None
        assert not check.unavailable


async def test_what_is_no_answer_of_ours_is_none() -> None:
    other = OK.replace(b"l:3.7", b"m:3.7")
    async with serving(answering(other)) as port:
        assert all(check.said and check.said.partition == -2 for check in await asked([port], 0.1))
    garbage = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with serving(answering(garbage)) as port:
        assert all(check.said is None for check in await asked([port], 0.1))
    async with serving(answering(b"nonsense\r\n\r\n")) as port:
        with pytest.raises(Broken):
            await Peer(port).ask(request("GET", "/"), 1)
