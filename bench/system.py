"""What is measured over HTTP: a whole ledger with one API worker, and the raw ASGI hello."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tests.servers import free_ports
from tests.system import Program, System, running
from tests.vendor import Vendor, machine_body

LICENSES = 200


class Bench(Struct, frozen=True, kw_only=True):
    """The running system, the baseline's URL, and licenses without a limit: (id, key) each."""

    system: System
    hello: str
    licenses: list[tuple[str, str]]

    @property
    def url(self) -> str:
        """The one worker's."""
        return self.system.workers[0].url


class _Hello(Program):
    def is_ready(self) -> bool:
        return self.answers("/")

    @property
    def module(self) -> str:
        return "bench.hello"


@contextmanager
def bench(directory: Path) -> Iterator[Bench]:
    """Start everything, issue the licenses and activate one machine on each."""
    (port,) = free_ports(1)
    hello = _Hello(
        directory / "hello", "bench.hello", port=port, env={"LEDGER_BENCH_PORT": str(port)}
    )
    with running(directory, workers=1) as system:
        try:
            hello.start()
            licenses = asyncio.run(_licenses(system))
            yield Bench(system=system, hello=hello.url, licenses=licenses)
        finally:
            hello.stop()


async def _licenses(system: System) -> list[tuple[str, str]]:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        issued = await asyncio.gather(*(vendor.issue(name="bench") for _ in range(LICENSES)))
        ids = [resource["id"] for resource in issued]
        await asyncio.gather(*(vendor.activate(id_, f"first of {id_}") for id_ in ids))
    return [(one["id"], one["attributes"]["key"]) for one in issued]


def activation_bodies(licenses: list[tuple[str, str]]) -> list[str]:
    """Bodies of activations, each on the next license, each of a machine of its own."""
    from orjson import dumps

    return [dumps(machine_body(id_, "bench-@N@")).decode() for id_, _ in licenses]
