"""The fast lane as bytes come over a connection: together, in pieces, one behind the other."""

from __future__ import annotations

import asyncio
import re
from asyncio import create_task
from typing import Any, Self

import pytest
from orjson import dumps, loads

from tests.api.conftest import LocalLedger
from tests.api.lanes import Lanes, body
from tests.api.ordering import BY_KEY


class Raw:
    """A connection to one of the servers, as bytes go over it."""

    def __init__(self, lanes: Lanes, place: int = 0) -> None:
        self._port = lanes.ports[place]

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Status and content of the next answer."""
        async with asyncio.timeout(10):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: ([0-9]+)", head)
            assert length is not None
            return int(head[9:12]), await self._reader.readexactly(int(length[1]))

    async def goes_on(self) -> None:
        """Wait to be told to go on."""
        async with asyncio.timeout(10):
            assert b" 100 " in await self._reader.readuntil(b"\r\n\r\n")

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read() == b""


def request(license_: dict[str, Any], nonce: int = 0, headers: str = "") -> bytes:
    content = dumps(body(license_, nonce))
    head = f"POST {BY_KEY} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


PING = b"GET /v1/ping HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_requests_that_come_together_are_answered_in_their_order(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    async with Raw(lanes) as raw:
        await raw.send(request(issued, 0))
        assert loads((await raw.answer())[1])["meta"]["nonce"] == 0
        together = [request(issued, 1), PING, request(issued, 2), request(issued, 3), PING]
        await raw.send(b"".join(together))
        answers = [await raw.answer() for _ in together]
        assert {status for status, _ in answers} == {200}
        nonces = [loads(content)["meta"]["nonce"] for _, content in answers if content != b"pong"]
        assert nonces == [1, 2, 3]
        assert [place for place, answer in enumerate(answers) if answer[1] == b"pong"] == [1, 4]


async def test_what_comes_behind_a_check_in_the_lane_waits_for_it(
    ledger: LocalLedger, lanes: Lanes, issued: dict[str, Any]
) -> None:
    async with Raw(lanes) as raw:
        await raw.send(request(issued, 0))
        assert (await raw.answer())[0] == 200
        await asyncio.to_thread(ledger.servers[0].freeze)
        try:
            for piece in (
                request(issued, 1),
                PING,
                request(issued, 2)[:30],
                request(issued, 2)[30:],
            ):
                await raw.send(piece)
                await asyncio.sleep(0.02)
            first, second, third = [await raw.answer() for _ in range(3)]
        finally:
            await asyncio.to_thread(ledger.servers[0].thaw)
        assert loads(first[1])["meta"]["nonce"] == 1
        assert loads(first[1])["meta"]["source"] == "REPLICA_B"
        assert second == (200, b"pong")
        assert loads(third[1])["meta"]["nonce"] == 2


async def test_a_request_in_pieces_and_what_follows_it_is_answered(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    whole = request(issued, 1)
    async with Raw(lanes) as raw:
        for cut in (1, 10, len(whole) - 20, len(whole) - 1):
            taken = lanes.taken
            await raw.send(whole[:cut])
            await asyncio.sleep(0.02)
            await raw.send(whole[cut:])
            assert (await raw.answer())[0] == 200
            assert lanes.taken == taken
            await raw.send(whole)
            assert (await raw.answer())[0] == 200
            assert lanes.taken == taken + 1


NOT_PLAIN = {
    "its last request": "Connection: close\r\n",
    "an upgrade": "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "a question first": "Expect: 100-continue\r\n",
    "lengths that differ": "Content-Length: 3\r\n",
    "a header that is none": "no header\r\n",
    "chunks": "Transfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("what", NOT_PLAIN)
async def test_a_head_that_says_more_is_read_by_the_server(
    lanes: Lanes, issued: dict[str, Any], what: str
) -> None:
    answers = []
    for place in range(2):
        async with Raw(lanes, place) as raw:
            await raw.send(request(issued, 1))
            assert (await raw.answer())[0] == 200
            taken = lanes.taken
            await raw.send(request(issued, 1, NOT_PLAIN[what]))
            if what == "a question first":
                await raw.goes_on()
            status, content = await raw.answer()
            answers.append((status, loads(content).get("errors", [{}])[0].get("code")))
            assert lanes.taken == taken
            if what == "its last request":
                assert await raw.ended()
    assert answers[0] == answers[1]


async def test_what_is_in_the_lane_is_answered_when_the_server_ends(
    ledger: LocalLedger, lanes: Lanes, issued: dict[str, Any]
) -> None:
    async with Raw(lanes) as raw:
        await raw.send(request(issued, 1))
        assert (await raw.answer())[0] == 200
        await asyncio.to_thread(ledger.servers[0].freeze)
        try:
            await raw.send(request(issued, 2))
            await asyncio.sleep(0.05)
            stopping = create_task(lanes.stop())
            assert (await raw.answer())[0] == 200
            assert await raw.ended()
            await stopping
        finally:
            await asyncio.to_thread(ledger.servers[0].thaw)
