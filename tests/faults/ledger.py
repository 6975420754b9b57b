"""A running ledger with its licenses, as the rows find it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.asking import Peer
from tests.faults.world import FILLED, World
from tests.faults.writing import Vendor
from tests.system import System

AT_ONCE: Final = 25
WRITTEN: Final = 6 * AT_ONCE
"""Licenses that the vendor works with, from the beginning."""
UNLIMITED: Final = {"LEDGER_API_FAILURES_PER_MINUTE": "0"}
"""All checks come from one address; those of revoked licenses would be taken for guesses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A system, and all that was ever issued in it."""

    system: System
    world: World


@asynccontextmanager
async def running_ledger(
    system: System, *, seed: int, filled: int = FILLED
) -> AsyncIterator[Ledger]:
    """Start a system and issue its licenses; it is stopped however the block ends."""
    began = time.monotonic()
    try:
        await asyncio.to_thread(system.start)
        world = World(system, seed=seed, began=began)
        await _issue(system, world, filled, seed)
        yield Ledger(system=system, world=world)
    finally:
        await asyncio.to_thread(system.stop)


def system_in(directory: Path) -> System:
    """A ledger with a local copy, not started yet."""
    return System(directory, terms=UNLIMITED, local_copy=True)


async def _issue(system: System, world: World, filled: int, seed: int) -> None:
    await world.fill(system, filled)
    peers = [Peer(worker.port) for worker in system.workers]
    vendor = Vendor(world, peers, rate=1, seed=seed)
    while len(world.written) < WRITTEN:
        for _ in range(AT_ONCE):
            vendor.begin("issue")
        await vendor.finish()
    for peer in peers:
        peer.close()
