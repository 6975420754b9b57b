"""The fast lane and the ordinary way: one contract, so one suite that both have to pass."""

from __future__ import annotations

import asyncio
import re
import socket
from asyncio import Task, create_task
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx
import pytest
from orjson import dumps, loads

from api.checking import Check, Checker, Look
from api.fast_lane import FastLane
from api.redis_wire import Values
from api.serving import Server, make_server
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import until
from tests.vendor import resource_body

BY_KEY = "/v1/licenses/actions/validate-key"
CHANGING = "ts|position|ageMs|lastValidated"


class Lanes:
    """Two servers of one worker, with the fast lane and without."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.taken = 0
        self.ports: list[int] = []
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        app = self.worker.app
        lane = FastLane(self.worker.services, app.crowd, self.worker.lines)
        for each in (lane, None):
            listener = socket.create_server(("127.0.0.1", 0))
            server = make_server(app, self.worker.settings, each)
            self.ports.append(listener.getsockname()[1])
            self._stack.push_async_callback(
                self._end, server, create_task(server.serve([listener]))
            )
        self.fast, self.ordinary = [
            await self._stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))
            for url in (f"http://127.0.0.1:{port}" for port in self.ports)
        ]

    @staticmethod
    async def _end(server: Server, serving: Task[None]) -> None:
        server.should_exit = True
        await serving

    async def stop(self) -> None:
        await self._stack.aclose()

    async def both(
        self,
        path: str = BY_KEY,
        **request: Any,  # noqa: ANN401 - as httpx has it
    ) -> tuple[httpx.Response, httpx.Response]:
        fast = await self.fast.post(path, **request)
        return fast, await self.ordinary.post(path, **request)


@pytest.fixture
async def lanes(
    worker: Worker, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Lanes]:
    found = Lanes(worker)
    at_once = Checker.seen_at_once

    def counted(checker: Checker, look: Look, values: Values) -> Check | None:
        made = at_once(checker, look, values)
        found.taken += made is not None
        return made

    monkeypatch.setattr(Checker, "seen_at_once", counted)
    await until(lambda: worker.replicas.standings[0].serving == 4, what="A in service")
    await found.start()
    # The first one finds out whose the host is.
    await found.ordinary.post(BY_KEY, json=body(issued))
    yield found
    await found.stop()


def body(license_: dict[str, Any], nonce: int | None = None, /, **scope: object) -> dict[str, Any]:
    meta: dict[str, Any] = {"key": license_["attributes"]["key"], "scope": scope}
    return {"meta": meta | ({} if nonce is None else {"nonce": nonce})}


def same(fast: httpx.Response, ordinary: httpx.Response) -> None:
    """All that doesn't change with the moment is the same, to the order of the members."""
    assert fast.status_code == ordinary.status_code
    names = [name for name, _ in fast.headers.raw]
    assert names == [name for name, _ in ordinary.headers.raw]
    for name in ("content-type", "keygen-version"):
        assert fast.headers[name] == ordinary.headers[name]
    assert fast.headers["x-request-id"] != ordinary.headers["x-request-id"]
    assert still(fast) == still(ordinary)


def still(answer: httpx.Response) -> str:
    """A document without what changes, its members in their order."""
    text = re.sub(rf'"({CHANGING})":("[^"]*"|[0-9]+)', r'"\1":…', answer.text)
    return text.replace(answer.headers["x-request-id"], "…")


SCOPES: list[dict[str, object]] = [
    {},
    {"fingerprint": "f"},
    {"fingerprints": ["f", "g"]},
    {"product": "another"},
    {"policy": "another", "fingerprint": "f"},
    {"entitlements": []},
    {"fingerprint": ""},
    {"fingerprint": "another"},
    {"machine": "another"},
    {"entitlements": ["E"]},
]


@pytest.mark.parametrize("scope", SCOPES, ids=str)
async def test_both_ways_say_the_same(
    lanes: Lanes, issued: dict[str, Any], scope: dict[str, object]
) -> None:
    same(*await lanes.both(json=body(issued, 7, **scope)))
    same(*await lanes.both(json=body(issued, **scope), headers={"Keygen-Version": "v1.7"}))


async def test_what_stands_of_a_license_is_the_same_both_ways(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    actions = f"/v1/licenses/{issued['id']}/actions"
    for path in ("suspend", "reinstate", "renew"):
        await lanes.worker.client.post(f"{actions}/{path}")
        same(*await lanes.both(json=body(issued)))
    assert lanes.taken >= 3
    await lanes.worker.client.patch(
        f"/v1/licenses/{issued['id']}",
        json=resource_body("licenses", {"expiry": "2020-01-01T00:00:00Z"}),
    )
    same(*await lanes.both(json=body(issued)))
    await lanes.worker.client.delete(f"{actions}/revoke")
    same(*await lanes.both(json=body(issued)))


async def test_a_plain_check_takes_the_lane_in_each_form_of_the_path(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    account = lanes.worker.catalog.account
    for place, path in enumerate((BY_KEY, f"/v1/accounts/demo{BY_KEY[3:]}"), start=1):
        same(*await lanes.both(path, json=body(issued, fingerprint="f")))
        assert lanes.taken == place
    same(*await lanes.both(f"/v1/accounts/{account}{BY_KEY[3:]}", json=body(issued)))
    assert lanes.taken == 3
    same(*await lanes.both(f"/v1/accounts/nobody{BY_KEY[3:]}", json=body(issued)))
    assert lanes.taken == 3


REFUSED: dict[str, dict[str, Any]] = {
    "no JSON": {"content": b"{"},
    "no UTF-8": {"content": b'{"meta":{"key":"\xff"}}'},
    "half a character": {"content": b'{"meta":{"key":"\\ud800"}}'},
    "no body": {"content": b""},
    "another media type": {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    "an unknown member": {"json": {"meta": {"key": "k", "scopes": {}}}},
    "no key": {"json": {"meta": {}}},
    "a long key": {"json": {"meta": {"key": "k" * 600}}},
    "a long body": {"json": {"meta": {"key": "k", "scope": {"fingerprint": "f" * 70_000}}}},
    "too many": {"json": {"meta": {"key": "k", "scope": {"fingerprints": ["f"] * 21}}}},
    "an unknown version": {"json": {"meta": {"key": "k"}}, "headers": {"Keygen-Version": "2.0"}},
    "an environment": {"json": {"meta": {"key": "k"}}, "headers": {"Keygen-Environment": "e"}},
    "a bad token": {"json": {"meta": {"key": "k"}}, "headers": {"Authorization": "Bearer x"}},
    "a bad token asked": {"json": {"meta": {"key": "k"}}, "params": {"token": "x"}},
    "a bad position": {"json": {"meta": {"key": "k"}}, "headers": {"Ledger-At-Least": "x"}},
    "large headers": {"json": {"meta": {"key": "k"}}, "headers": {"X-Large": "x" * 17_000}},
    "another's page": {"json": {"meta": {"key": "k"}}, "headers": {"Origin": "https://a.example"}},
    "an unknown key": {"json": {"meta": {"key": "nobody's"}}},
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_isn_t_plain_is_answered_the_ordinary_way(lanes: Lanes, what: str) -> None:
    same(*await lanes.both(**REFUSED[what]))
    assert lanes.taken == 0


async def test_a_given_request_id_is_kept(lanes: Lanes, issued: dict[str, Any]) -> None:
    headers = {"X-Request-Id": "given-by-the-caller"}
    fast, ordinary = await lanes.both(json=body(issued), headers=headers)
    for answer in (fast, ordinary):
        assert answer.headers["x-request-id"] == headers["X-Request-Id"]
    assert lanes.taken == 1


async def test_a_replica_that_is_lost_or_behind_leaves_the_lane_for_the_ordinary_way(
    ledger: LocalLedger, lanes: Lanes, issued: dict[str, Any]
) -> None:
    await asyncio.to_thread(ledger.servers[0].kill)
    fast, ordinary = await lanes.both(json=body(issued, fingerprint="f"))
    same(fast, ordinary)
    assert fast.json()["meta"]["source"] == "REPLICA_B"
    await asyncio.to_thread(ledger.servers[1].kill)
    fast, ordinary = await lanes.both(json=body(issued))
    assert fast.status_code == ordinary.status_code == 503


async def test_a_mistake_in_the_lane_leaves_the_check_to_the_ordinary_way(
    lanes: Lanes, issued: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a mistake of ours")

    for place, name in enumerate(("look_at_once", "seen_at_once")):
        with monkeypatch.context() as patch:
            patch.setattr(Checker, name, broken)
            fast, ordinary = await lanes.both(json=body(issued))
        same(fast, ordinary)
        assert fast.status_code == 200, place
    assert lanes.taken == 0


async def test_too_many_at_once_are_refused_by_both(
    ledger: LocalLedger, issued: dict[str, Any]
) -> None:
    lanes = Lanes(await ledger.worker(LEDGER_API_REQUESTS_MAX="1"))
    try:
        await lanes.start()
        for client in (lanes.fast, lanes.ordinary):
            answers = await asyncio.gather(
                *(client.post(BY_KEY, json=body(issued)) for _ in range(10))
            )
            assert {answer.status_code for answer in answers} == {200, 429}
    finally:
        await lanes.stop()


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


async def test_lines_and_figures_are_those_of_the_ordinary_way(
    lanes: Lanes, issued: dict[str, Any]
) -> None:
    await lanes.both(json=body(issued))
    worker = lanes.worker
    worker.lines.flush()
    lines = worker.access_log.getvalue().splitlines()[-2:]
    assert all('"route":"/v1/licenses/actions/validate-key"' in line for line in lines)
    assert len({line.count('":') for line in lines}) == 1
    page = (await worker.stranger.get("/metrics")).text
    [count] = [
        line.split()[-1]
        for line in page.splitlines()
        if line.startswith("ledger_api_requests_total") and "validate-key" in line
    ]
    assert float(count) >= 3
