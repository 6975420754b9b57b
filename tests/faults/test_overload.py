"""Ten times too much: who is let in is answered, checks above all; others are told when to come.

One system for all: a worker as it is, and one that takes few requests at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from orjson import loads

from tests.faults.asking import Broken, Peer, Reply, request
from tests.system import TOKEN, System
from tests.vendor import Vendor, machine_body

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

BY_KEY = "/v1/licenses/actions/validate-key"
LICENSES = 50
FEW = 64
CALLERS = 10 * FEW
LOAD_S = 10.0
CHECKS_PER_S = 100
LIMIT_S = 20.0
"""Of one answer: how fast is the bench's business."""
HERD = 3_000
HERD_S = 10.0
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


class Ledger:
    """The running system, its licenses as (id, key), and what was answered."""

    def __init__(self, system: System, licenses: list[tuple[str, str]]) -> None:
        self.system = system
        self.licenses = licenses

    @contextmanager
    def peer(self, worker: int = 0) -> Iterator[Peer]:
        """Connections to a worker."""
        made = Peer(self.system.workers[worker].port)
        try:
            yield made
        finally:
            made.close()

    def check(self) -> bytes:
        _, key = random.choice(self.licenses)
        return request("POST", BY_KEY, {"meta": {"key": key}})

    def activation(self, license_: str, key: str | None = None) -> bytes:
        headers = {**AUTHORIZED, "idempotency-key": key or uuid4().hex}
        return request("POST", "/v1/machines", machine_body(license_, uuid4().hex), headers)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    directory: Path = tmp_path_factory.mktemp("overload")
    system = System(directory, workers=2)
    system.workers[1].env["LEDGER_API_REQUESTS_MAX"] = str(FEW)
    try:
        system.start()
        yield Ledger(system, asyncio.run(_issued(system)))
    finally:
        system.stop()


async def _issued(system: System) -> list[tuple[str, str]]:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        issued = await asyncio.gather(*(vendor.issue() for _ in range(LICENSES)))
    return [(one["id"], one["attributes"]["key"]) for one in issued]


def kind(reply: Reply) -> str:
    """What an answer is: its status, or for a check its code; a refusal says when to come back."""
    if reply.status in {429, 503}:
        assert int(reply.headers[b"retry-after"]) >= 1
        return str(reply.status)
    code = loads(reply.body).get("meta", {}).get("code")
    return str(code or reply.status)


async def ask(peer: Peer, content: bytes) -> str:
    """Kind of an answer; what is none is no good answer either."""
    try:
        return kind(await peer.ask(content, LIMIT_S))
    except (Broken, TimeoutError) as error:
        return type(error).__name__


async def without_pause(peer: Peer, content: Callable[[], bytes], callers: int) -> Counter[str]:
    """What so many callers are answered who each ask as soon as they are."""
    got: Counter[str] = Counter()
    end = time.monotonic() + LOAD_S

    async def calls() -> None:
        while time.monotonic() < end:
            got[await ask(peer, content())] += 1

    await asyncio.gather(*(calls() for _ in range(callers)))
    return got


async def at_a_rate(peer: Peer, content: Callable[[], bytes], rate: float) -> Counter[str]:
    """What is answered to requests that come by the clock."""
    began, asked = time.monotonic(), list[Awaitable[str]]()
    while time.monotonic() - began < LOAD_S:
        asked.append(asyncio.ensure_future(ask(peer, content())))
        await asyncio.sleep(max(0.0, began + len(asked) / rate - time.monotonic()))
    return Counter(await asyncio.gather(*asked))


async def test_writes_beyond_measure_fail_no_check(ledger: Ledger) -> None:
    license_ = ledger.licenses[0][0]
    with ledger.peer() as checking, ledger.peer() as writing:
        checks, writes = await asyncio.gather(
            at_a_rate(checking, ledger.check, CHECKS_PER_S),
            without_pause(writing, lambda: ledger.activation(license_), CALLERS),
        )
        # The next one is taken again.
        assert await ask(writing, ledger.activation(license_)) == "201"
    assert set(checks) == {"VALID"}, checks
    assert checks.total() > LOAD_S * CHECKS_PER_S / 10
    assert writes["201"] > 0, writes
    assert set(writes) <= {"201", "429", "503"}, writes
    # All that was granted is there, once.
    async with ledger.system.client() as client:
        used = (await client.get(f"/v1/licenses/{license_}")).json()["data"]["attributes"]["seats"]
    assert writes["201"] + 1 <= used["used"] <= writes.total() + 1


async def test_lists_beyond_measure_fail_no_check_and_no_write(ledger: Ledger) -> None:
    page = request("GET", "/v1/licenses?limit=100", headers=AUTHORIZED)
    license_ = ledger.licenses[1][0]
    with ledger.peer() as checking, ledger.peer() as writing, ledger.peer() as listing:
        checks, writes, lists = await asyncio.gather(
            at_a_rate(checking, ledger.check, CHECKS_PER_S),
            at_a_rate(writing, lambda: ledger.activation(license_), 5),
            without_pause(listing, lambda: page, CALLERS),
        )
    assert set(checks) == {"VALID"}, checks
    assert set(lists) <= {"200", "429"}, lists
    assert lists["200"] > 0
    assert lists["429"] > 0
    assert writes["201"] > 0, writes


async def test_checks_beyond_measure_are_answered_or_told_when_to_come(ledger: Ledger) -> None:
    with ledger.peer(1) as peer:
        checks = await without_pause(peer, ledger.check, CALLERS)
        assert set(checks) == {"VALID", "429"}, checks
        assert await ask(peer, ledger.check()) == "VALID"


async def test_everybody_comes_back_at_once(ledger: Ledger) -> None:
    launched: Counter[str] = Counter()
    activated: Counter[str] = Counter()

    async def launch(number: int) -> None:
        await asyncio.sleep(random.uniform(0, HERD_S))
        with ledger.peer() as peer:  # a process that starts has no connection yet
            launched[await ask(peer, ledger.check())] += 1
            if number % 10 == 0:
                activated[await activate(peer)] += 1

    async def activate(peer: Peer) -> str:
        """Activate as a client should: the same again, when it is told to."""
        content = ledger.activation(random.choice(ledger.licenses)[0], uuid4().hex)
        for _ in range(10):
            reply = await peer.ask(content, LIMIT_S)
            if reply.status not in {429, 503}:
                return str(reply.status)
            await asyncio.sleep(int(reply.headers[b"retry-after"]))
        return "given up"

    await asyncio.gather(*(launch(number) for number in range(HERD)))
    assert launched == {"VALID": HERD}
    assert activated == {"201": HERD // 10}
