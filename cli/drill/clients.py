"""The customers' products, in a process of their own for each side: launches and activations.

An open loop: each has its moment, whatever became of those before. `python -m cli.drill.clients`
reads its `Orders` as a line of JSON on stdin, and then `Change`s; for each request that has come to
its end it writes an `Asked`. It ends when stdin does, once what is under way has ended.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import time
from typing import Any, Final

import httpx
import msgspec
import uvloop
from msgspec import Struct

CHECKS: Final = "/v1/licenses/actions/validate-key"
MACHINES: Final = "/v1/machines"
FREE: Final = "free"
PAID: Final = "paid"
TIMEOUT: Final = "timeout"
NO_CONNECTION: Final = "no connection"
_OK: Final = 200
_CREATED: Final = 201
_KEPT: Final = 100


class Licensed(Struct, frozen=True, kw_only=True, array_like=True):
    """A license by id and key; `free`: its product starts on nothing but a valid check."""

    id: str
    key: str
    free: bool


class Orders(Struct, frozen=True, kw_only=True):
    """What one side is asked, how often a second. `token`: for activations; empty: none."""

    url: str
    token: str
    licenses: list[Licensed]
    launches_per_s: float
    activations_per_s: float
    timeout_s: float


class Change(Struct, frozen=True, kw_only=True):
    """From now on: so many times the usual rate; whether paid products start without a check."""

    times: float
    neutralized: bool


class Asked(Struct, frozen=True, kw_only=True, array_like=True):
    """One request: when it was sent (monotonic clock, s), and what became of it.

    `client`: free or paid. `ok`: the check was answered VALID, the activation granted. `started`:
    the product starts. `answer`: status and code, or why there was none.
    """

    at_s: float
    launch: bool
    client: str
    ok: bool
    started: bool
    answer: str
    took_ms: float


class _Clients:
    def __init__(self, orders: Orders, client: httpx.AsyncClient) -> None:
        self._orders = orders
        self._client = client
        self._times = 1.0
        self._neutralized = False
        self._random = random.Random(5)  # noqa: S311 - which license is asked for is no secret
        self._numbers = itertools.count()
        self._under_way: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Ask until stdin ends."""
        changes = asyncio.create_task(self._changes())
        orders = self._orders
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pace(orders.launches_per_s, self._launch))
            group.create_task(self._pace(orders.activations_per_s, self._activate))
        await changes
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _changes(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            change = msgspec.json.decode(line, type=Change)
            self._times, self._neutralized = change.times, change.neutralized
        self._stop.set()

    async def _pace(self, per_s: float, ask: Any) -> None:  # noqa: ANN401 - a bound coroutine function
        """Begin a request at each of its moments; several at once where the timer was late."""
        due = time.monotonic()
        while not self._stop.is_set():
            await asyncio.sleep(max(due - time.monotonic(), 0))
            task = asyncio.create_task(ask())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due += 1 / (per_s * self._times)

    async def _launch(self) -> None:
        license_ = self._random.choice(self._orders.licenses)
        at = time.monotonic()
        ok, answer = await self._ask(CHECKS, {"meta": {"key": license_.key}}, _OK)
        started = ok or (self._neutralized and not license_.free)
        self._tell(at, license_, ok=ok, started=started, answer=answer, launch=True)

    async def _activate(self) -> None:
        license_ = self._random.choice(self._orders.licenses)
        fingerprint = f"{os.getpid()}-{next(self._numbers)}"
        at = time.monotonic()
        ok, answer = await self._ask(MACHINES, _machine(license_.id, fingerprint), _CREATED)
        self._tell(at, license_, ok=ok, started=ok, answer=answer, launch=False)

    async def _ask(self, path: str, body: dict[str, Any], expected: int) -> tuple[bool, str]:
        is_asked_who = path == MACHINES and self._orders.token
        token = {"Authorization": f"Bearer {self._orders.token}"} if is_asked_who else {}
        try:
            async with asyncio.timeout(self._orders.timeout_s):
                got = await self._client.post(path, json=body, headers=token)
        except (TimeoutError, httpx.TimeoutException):
            return False, TIMEOUT
        except httpx.HTTPError:
            return False, NO_CONNECTION
        code = _code(got)
        fine = got.status_code == expected and (path == MACHINES or code == "VALID")
        return fine, f"{got.status_code} {code}".strip()

    def _tell(
        self, at: float, of: Licensed, *, ok: bool, started: bool, answer: str, launch: bool
    ) -> None:
        asked = Asked(
            at_s=at,
            launch=launch,
            client=FREE if of.free else PAID,
            ok=ok,
            started=started,
            answer=answer,
            took_ms=(time.monotonic() - at) * 1000,
        )
        sys.stdout.buffer.write(msgspec.json.encode(asked) + b"\n")
        sys.stdout.buffer.flush()


def _machine(license_: str, fingerprint: str) -> dict[str, Any]:
    return {
        "data": {
            "type": "machines",
            "attributes": {"fingerprint": fingerprint},
            "relationships": {"license": {"data": {"type": "licenses", "id": license_}}},
        }
    }


def _code(answer: httpx.Response) -> str:
    """The code of a check, or of the first error."""
    try:
        document = answer.json()
        code = document["meta"]["code"] if "meta" in document else document["errors"][0]["code"]
    except (ValueError, LookupError, TypeError):
        return ""
    return str(code)


async def _run(orders: Orders) -> None:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT)
    async with httpx.AsyncClient(
        base_url=orders.url, timeout=orders.timeout_s, limits=limits, trust_env=False
    ) as client:
        await _Clients(orders, client).run()


if __name__ == "__main__":
    # Unbuffered: what comes after the line is for who follows stdin then.
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        line = stdin.readline()
    uvloop.run(_run(msgspec.json.decode(line, type=Orders)))
