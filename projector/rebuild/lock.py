"""The lock of whoever works on a replica's rebuild: one at a time; a killed one is forgotten."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from socket import gethostname
from typing import Final

from projector.read_model.port import ReadModel, ReadModelUnavailableError
from projector.rebuild.intent import HOLDER

HELD_MS: Final = 5_000
FORGOTTEN_S: Final = 1.2 * HELD_MS / 1000
"""One that was killed is forgotten by then."""
_RENEW_S: Final = 1.0
_TRY_S: Final = 0.25
_THEN: Final = "#"
"""Between whose it is and what no other one has."""


@asynccontextmanager
async def held(model: ReadModel, *, wait_s: float) -> AsyncIterator[bool]:
    """Hold the lock, and renew it; False where another one has it for longer than `wait_s`."""
    owner = f"{os.getpid()} on {gethostname()}{_THEN}{token_hex(16)}"
    deadline = time.monotonic() + wait_s
    while not await model.hold(HOLDER, owner, HELD_MS):
        if time.monotonic() >= deadline:
            yield False
            return
        await asyncio.sleep(_TRY_S)
    renewing = asyncio.create_task(_renew(model, owner))
    try:
        yield True
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
        with suppress(ReadModelUnavailableError):
            await model.release(HOLDER, owner)


async def holder(model: ReadModel) -> str | None:
    """Process that holds the lock, as people are told of it; None: nobody does."""
    [owner] = await model.get([HOLDER])
    return None if owner is None else owner.decode(errors="replace").partition(_THEN)[0]


async def _renew(model: ReadModel, owner: str) -> None:
    while True:
        await asyncio.sleep(_RENEW_S)
        with suppress(ReadModelUnavailableError):
            await model.hold(HOLDER, owner, HELD_MS)
