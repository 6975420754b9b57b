"""The two sides, running: the naive service on its database, and the ledger as `ledger up` has it.

Each is asked by its own process of clients, in the same way.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cli.api import Api
from cli.drill import script
from cli.drill.clients import Asked, Change, Licensed, Orders
from cli.drill.database import Database
from cli.drill.outcome import SideName
from cli.drill.scratch import LEDGER, Scratch
from cli.local import plan
from cli.local.folder import read_environment, read_token
from cli.local.ports import free_ports, is_taken
from cli.trouble import Failed
from cli.web import answers_ok

START_S: Final = 120.0
_LOOK_S: Final = 0.2
_AT_ONCE: Final = 8
_TRIES: Final = 20
_LOWER: Final = {SideName.NAIVE: ["nice", "-n", "5"], SideName.LEDGER: []}
"""Those who wait in vain take nothing from those who don't."""
_ENDED_S: Final = 10.0
_SETTINGS: Final = "LEDGER_"


def environment() -> dict[str, str]:
    """The environment of this process, without the settings of any other ledger."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}


def own_core() -> tuple[list[str], str]:
    """What a command of the naive side begins with, and in words what that does."""
    nice = ["nice", "-n", "10"]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2 or shutil.which("taskset") is None:  # noqa: PLR2004 - one for each side
        return nice, "its database and service have a lower priority (nice 10)"
    pinned = ["taskset", "--cpu-list", str(cores[-1])]
    words = f"its database and service have core {cores[-1]} and a lower priority (nice 10)"
    return [*nice, *pinned], words


def keys() -> list[str]:
    """The keys of the licenses that both sides are asked for."""
    return [f"DRILL-{number:04}" for number in range(script.LICENSES)]


async def start_naive(scratch: Scratch, database: Database, port: int, prefix: list[str]) -> str:
    """Start the service on its database; its address. Raises `Failed`."""
    env = {**environment(), "NAIVE_DATABASE_URL": database.url, "NAIVE_PORT": str(port)}
    command = [*prefix, sys.executable, "-m", "cli.drill.naive"]
    process = scratch.start(SideName.NAIVE, command, env=env)
    url = f"http://127.0.0.1:{port}"
    await _ready(scratch, SideName.NAIVE, process, lambda: f"{url}/health/live")
    return url


async def start_ledger(scratch: Scratch) -> tuple[str, str]:
    """Start a ledger of its own, empty; its address and its token. Raises `Failed`."""
    command = [sys.executable, "-c", "from cli.start import main; main()", "up", "--no-sample"]
    command += ["--ports", _ports(), "--data", str(scratch.ledger.root)]
    process = scratch.start(LEDGER, command, env=environment())

    def ready() -> str | None:
        told: Mapping[str, str] = read_environment(scratch.ledger) or {}
        url = told.get("LEDGER_API_URL")
        return None if url is None else f"{url}/health/ready"

    await _ready(scratch, LEDGER, process, ready)
    url = (read_environment(scratch.ledger) or {})["LEDGER_API_URL"]
    return url, read_token(scratch.ledger)


def _ports() -> str:
    """Free ports, not the usual ones: those are for the ledger that people start themselves."""
    names = [name for name in plan.defaults(1) if name != "workers"]
    found = free_ports(len(names) + _TRIES)
    given = dict(zip(names, found, strict=False))
    in_a_row = (port for port in found[len(names) :] if not is_taken(port + 1))
    given["workers"] = next(in_a_row, plan.DEFAULTS["workers"])
    return ",".join(f"{name}={port}" for name, port in given.items())


async def _ready(
    scratch: Scratch,
    name: str,
    process: subprocess.Popen[bytes],
    where: Callable[[], str | None],
) -> None:
    """Wait until a part answers where it says. Raises `Failed`."""
    deadline = time.monotonic() + START_S
    while (url := where()) is None or not await asyncio.to_thread(answers_ok, url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failed(f"the {name} doesn't start:\n{scratch.last_words(name)}")
        await asyncio.sleep(_LOOK_S)


async def issue(url: str, token: str) -> list[str]:
    """Issue the licenses of `keys` in the ledger, without a limit of machines; their ids."""
    api = Api(url, token)
    product = await asyncio.to_thread(_made, api, "products", {"name": "Drill", "code": "drill"})
    policy = await asyncio.to_thread(
        _made,
        api,
        "policies",
        {"name": "Drill", "floating": True, "maxMachines": None},
        product=("products", product),
    )
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(key: str) -> str:
        async with limit:
            return await asyncio.to_thread(
                _made, api, "licenses", {"key": key}, policy=("policies", policy)
            )

    return list(await asyncio.gather(*map(one, keys())))


def _made(api: Api, kind: str, attributes: dict[str, Any], **related: tuple[str, str]) -> str:
    links = {name: {"data": {"type": of, "id": id_}} for name, (of, id_) in related.items()}
    data: dict[str, Any] = {"type": kind, "attributes": attributes}
    if links:
        data["relationships"] = links
    return str(api.write("POST", kind, body={"data": data})["data"]["id"])


class Crowd:
    """The clients of one side, in their own process; `asked` grows as they tell of requests.

    Their moments are of the monotonic clock, and from `begin` on of the drill's.
    """

    def __init__(
        self, scratch: Scratch, side: SideName, url: str, ids: list[str], *, token: str = ""
    ) -> None:
        self.asked: list[Asked] = []
        self._began = 0.0
        self._process = scratch.start(
            f"clients-of-{side}",
            [*_LOWER[side], sys.executable, "-m", "cli.drill.clients"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        licenses = [
            Licensed(id=id_, key=key, free=number % 2 == 0)
            for number, (id_, key) in enumerate(zip(ids, keys(), strict=True))
        ]
        orders = Orders(
            url=url,
            token=token,
            licenses=licenses,
            launches_per_s=script.LAUNCHES_PER_S,
            activations_per_s=script.ACTIVATIONS_PER_S,
            timeout_s=script.TIMEOUT_S,
        )
        self._write(orders)
        self._reading = asyncio.create_task(self._read())

    def begin(self, at: float) -> None:
        """Count from a moment on, and only what is asked after it."""
        self._began = at
        self.asked = []

    def change(self, *, times: float = 1.0, neutralized: bool = False) -> None:
        """Tell the clients how it is from now on."""
        self._write(Change(times=times, neutralized=neutralized))

    async def end(self) -> None:
        """Let nobody ask any more, and wait for what is under way. Raises `Failed`."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.close()
        async with asyncio.timeout(_ENDED_S):
            await self._reading
        if await asyncio.to_thread(self._process.wait, _ENDED_S):
            raise Failed("the clients ended with an error")

    def _write(self, what: Orders | Change) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")
        self._process.stdin.flush()

    async def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        decode = msgspec.json.Decoder(Asked).decode
        while line := await reader.readline():
            one = decode(line)
            if one.at_s >= self._began:
                self.asked.append(replace(one, at_s=one.at_s - self._began))
