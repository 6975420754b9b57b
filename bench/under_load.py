"""Checks and activations at a fixed rate, each answer judged, while something else goes on."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Final

import orjson

from bench.history import key_of
from bench.history.history import History
from tests.system import TOKEN
from tests.vendor import machine_body

CHECKS: Final = "/v1/licenses/actions/validate-key"
MACHINES: Final = "/v1/machines"
_CODE: Final = re.compile(rb'"code":"([A-Z_]+)"')
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CREATED: Final = 201
_TIMEOUT_S: Final = 10.0


@dataclass
class Judged:
    """What came of them: latencies in ms, and what was wrong, in words."""

    checks: int = 0
    activations: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    check_ms: list[float] = field(default_factory=list)
    activation_ms: list[float] = field(default_factory=list)

    def percentile(self, of: list[float], share: float) -> float:
        """Percentile of latencies, 0 where there are none."""
        ordered = sorted(of)
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1) if of else 0.0


class UnderLoad:
    """Asks one worker, `checks` and `activations` a second, from `start` to `stop`.

    Checks are of keys drawn uniformly from all of the history's; each says what the history says.
    Activations are of new machines, on licenses whose answers they don't change: `on`, by id.
    """

    def __init__(
        self,
        port: int,
        history: History,
        on: list[str],
        *,
        checks: float,
        activations: float,
        connections: int = 16,
    ) -> None:
        self.judged = Judged()
        self._port = port
        self._history = history
        # A long history takes long to tell, in the process that asks.
        self._expected = lru_cache(maxsize=10_000)(history.expected)
        self._on = on
        self._rates = (checks, activations)
        self._connections = connections
        self._random = Random(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._number = 0

    def start(self) -> None:
        """Begin."""
        checks, activations = self._rates
        for share in range(self._connections):
            every = self._connections / checks
            self._tasks.append(asyncio.create_task(self._ask(self._check, every, share)))
        for share in range(4):
            every = 4 / activations
            self._tasks.append(asyncio.create_task(self._ask(self._activate, every, share)))

    async def stop(self) -> Judged:
        """End, with what is under way cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        return self.judged

    async def _ask(self, ask: object, every_s: float, share: int) -> None:
        due = time.perf_counter() + every_s * share / self._connections
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                try:
                    if connection is None:
                        connection = await asyncio.open_connection("127.0.0.1", self._port)
                    async with asyncio.timeout(_TIMEOUT_S):
                        await ask(*connection, due)  # type: ignore[operator] # one of two below
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    self.judged.failed += 1
                    self.judged.wrong.append(f"no answer: {type(error).__name__}")
                    if connection is not None:
                        connection[1].close()
                    connection = None
                due += every_s
        finally:
            if connection is not None:
                connection[1].close()

    async def _check(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: float
    ) -> None:
        index = self._random.randrange(self._history.size.licenses)
        key = key_of(self._history.size.seed, index)
        before_ms = time.time() * 1000 - 5_000
        status, body = await _posted(reader, writer, CHECKS, orjson.dumps({"meta": {"key": key}}))
        judged = self.judged
        judged.checks += 1
        judged.check_ms.append((time.perf_counter() - due) * 1000)
        expected = self._expected(index)
        if not expected.is_certain(before_ms, time.time() * 1000 + 5_000):
            return
        found = _CODE.search(body)
        code = found[1].decode() if found else f"HTTP {status}"
        judged.codes[code] += 1
        wanted, _ = expected.answer(time.time() * 1000)
        if code != wanted:
            judged.failed += 1
            judged.wrong.append(f"license {index}: {code}, and it is {wanted}")

    async def _activate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, due: float
    ) -> None:
        self._number += 1
        license_ = self._on[self._number % len(self._on)]
        body = orjson.dumps(machine_body(license_, f"under load {self._number}"))
        status, answer = await _posted(reader, writer, MACHINES, body, token=TOKEN)
        self.judged.activations += 1
        self.judged.activation_ms.append((time.perf_counter() - due) * 1000)
        if status != _CREATED:
            self.judged.failed += 1
            self.judged.wrong.append(f"activation: HTTP {status} {answer[:120]!r}")


async def _posted(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    path: str,
    body: bytes,
    *,
    token: str = "",
) -> tuple[int, bytes]:
    sent_by = f"authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/vnd.api+json\r\n"
        f"{sent_by}content-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answered = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(answered)
    with suppress(ValueError):
        return int(answered.split(b" ", 2)[1]), await reader.readexactly(
            int(length[1]) if length else 0
        )
    return 0, b""
