"""The customers' products: an open loop, whose answers are judged as products would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from cli.drill.clients import Asked, Change, Licensed, Orders
from tests.servers import ROOT

LICENSES = [
    Licensed(id="of-free", key="FREE-KEY", free=True),
    Licensed(id="of-paid", key="PAID-KEY", free=False),
]
VALID = b'{"meta":{"valid":true,"code":"VALID"}}'
Reply = Callable[[str, dict[str, Any]], tuple[int, bytes] | None]
"""What a service says to a path and a body; None: nothing, ever."""


class Service:
    """A service that keeps what it was sent, and answers as it is told."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = msgspec.json.decode(await reader.readexactly(int(headers["content-length"])))
            path = lines[0].split()[1]
            self.bodies.append((path, body))
            self.tokens.add(f"{path} {headers.get('authorization', '')}")
            said = self.reply(path, body)
            if said is not None:
                status, content = said
                writer.write(
                    b"HTTP/1.1 %d OK\r\ncontent-length: %d\r\n\r\n%s"
                    % (status, len(content), content)
                )


async def asked(
    service: Service, *, seconds: float, changes: Change | None = None, timeout_s: float = 1.0
) -> list[Asked]:
    """What the clients tell of so many seconds."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await service(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    orders = Orders(
        url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        token="secret-of-a-test",
        licenses=LICENSES,
        launches_per_s=40,
        activations_per_s=10,
        timeout_s=timeout_s,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.drill.clients",
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (orders, changes):
        if line is not None:
            process.stdin.write(msgspec.json.encode(line) + b"\n")
    try:
        found = [msgspec.json.decode(await process.stdout.readline(), type=Asked)]
        await asyncio.sleep(seconds)
        process.stdin.close()
        rest = await asyncio.wait_for(process.stdout.read(), 20)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        server.close()
    return [*found, *(msgspec.json.decode(line, type=Asked) for line in rest.splitlines())]


def per_s(found: list[Asked], *, launch: bool) -> float:
    """How many were sent a second, from the first to the last."""
    at = sorted(one.at_s for one in found if one.launch == launch)
    return (len(at) - 1) / (at[-1] - at[0])


def granted(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
    return (201, b"{}") if path.endswith("machines") else (200, VALID)


async def test_launches_and_activations_are_sent_at_their_rates() -> None:
    service = Service(granted)
    found = await asked(service, seconds=3)
    kinds = Counter(one.launch for one in found)
    assert 35 < per_s(found, launch=True) < 45
    assert 8 < per_s(found, launch=False) < 12
    assert all(one.ok and one.started for one in found)
    assert {one.answer for one in found} == {"200 VALID", "201"}
    assert {one.client for one in found} == {"free", "paid"}
    paths = Counter(path for path, _ in service.bodies)
    assert sum(paths.values()) == len(found)
    fingerprints = [
        body["data"]["attributes"]["fingerprint"] for _, body in service.bodies if "data" in body
    ]
    assert len(set(fingerprints)) == len(fingerprints) == kinds[False]
    assert service.tokens == {
        "/v1/machines bearer secret-of-a-test",
        "/v1/licenses/actions/validate-key ",
    }


async def test_the_rate_does_not_depend_on_the_answers() -> None:
    found = await asked(Service(lambda *_: None), seconds=2, timeout_s=1.0)
    assert 35 < per_s(found, launch=True) < 45
    assert {(one.ok, one.started, one.answer) for one in found} == {(False, False, "timeout")}
    assert all(one.took_ms >= 990 for one in found)


async def test_whom_no_answer_lets_start_starts_only_if_paid_and_neutralized() -> None:
    neutralized = Change(times=1, neutralized=True)
    found = await asked(
        Service(lambda *_: (503, b'{"errors":[{"code":"LEDGER_UNAVAILABLE"}]}')),
        seconds=1,
        changes=neutralized,
    )
    assert not any(one.ok for one in found)
    started = Counter((one.client, one.started) for one in found if one.launch)
    assert started.keys() == {("free", False), ("paid", True)}
    assert not any(one.started for one in found if not one.launch)
    assert {one.answer for one in found} == {"503 LEDGER_UNAVAILABLE"}


async def test_a_check_that_says_no_and_a_lost_connection_have_failed() -> None:
    denied = b'{"meta":{"valid":false,"code":"SUSPENDED"}}'
    found = await asked(Service(lambda *_: (200, denied)), seconds=0.5)
    assert {(one.ok, one.answer) for one in found if one.launch} == {(False, "200 SUSPENDED")}

    def hangs_up(path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        raise ConnectionError

    found = await asked(Service(hangs_up), seconds=0.5)
    assert {(one.ok, one.answer) for one in found} == {(False, "no connection")}


async def test_everybody_at_once_is_so_many_times_the_rate() -> None:
    found = await asked(Service(granted), seconds=2, changes=Change(times=3, neutralized=False))
    assert 105 < per_s(found, launch=True) < 135
    assert 25 < per_s(found, launch=False) < 35
