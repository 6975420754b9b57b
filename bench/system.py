"""What is measured over HTTP: a whole ledger with one API worker, and the raw ASGI hello."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from orjson import dumps

from cli.local.ports import free_ports
from tests.system import Program, System, running
from tests.vendor import Vendor, machine_body

LICENSES = 200
UNLIMITED = {"LEDGER_API_TOKEN_PER_MINUTE": "0"}
"""One token asks more in a minute here than any may, and what is refused measures nothing."""


class _Hello(Program):
    """The baseline, as a process of its own."""

    def is_ready(self) -> bool:
        return self.answers("/")


class Bench(Struct, frozen=True, kw_only=True):
    """The running system, the baseline, and licenses without a limit: (id, key) each."""

    system: System
    hello: _Hello
    licenses: list[tuple[str, str]]

    @property
    def url(self) -> str:
        """The one worker's."""
        return self.system.workers[0].url


@contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    """Start everything, issue the licenses and activate one machine on each."""
    (port,) = free_ports(1)
    env = {"LEDGER_BENCH_PORT": str(port)}
    hello = _Hello(directory / "hello", "bench.hello", port=port, env=env)
    with running(directory, workers=1, settings=UNLIMITED) as system:
        try:
            hello.start()
            yield Bench(system=system, hello=hello, licenses=asyncio.run(_licenses(system)))
        finally:
            hello.stop()


async def _licenses(system: System) -> list[tuple[str, str]]:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        issued = await asyncio.gather(*(vendor.issue(name="bench") for _ in range(LICENSES)))
        ids = [str(resource["id"]) for resource in issued]
        await asyncio.gather(*(vendor.activate(id_, f"first of {id_}") for id_ in ids))
    return [(str(one["id"]), str(one["attributes"]["key"])) for one in issued]


def activation_bodies(licenses: list[tuple[str, str]]) -> list[str]:
    """Bodies of activations, each on the next license, each of a machine of its own."""
    return [dumps(machine_body(id_, "bench-@N@")).decode() for id_, _ in licenses]
