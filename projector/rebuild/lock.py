"""The lock of whoever works on a replica's rebuild: one at a time; a killed one is forgotten.

A process that stood still for longer than the lock is held may find that another one works there,
or did in between. Then its own work ends at once. Where nobody came in between (the Redis stood
still), it takes the lock again and goes on: who took it last is kept beside it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from socket import gethostname
from typing import Final, cast

from projector.read_model.port import ReadModel, ReadModelUnavailableError
from projector.rebuild.intent import HOLDER

HELD_MS: Final = 5_000
FORGOTTEN_S: Final = 1.2 * HELD_MS / 1000
"""One that was killed is forgotten by then."""
LAST: Final = f"{HOLDER}:last"
"""Who took it last, whether or not it is held."""
_RENEW_S: Final = 1.0
_TRY_S: Final = 0.25
_NOTED_MS: Final = 100 * 86_400_000
_THEN: Final = "#"
"""Between whose it is and what no other one has."""
_AGAIN_S: Final = 5.0
"""A cancellation can get lost: so long after one that did not end the work comes the next."""


class LostLockError(Exception):
    """Another process has taken the lock while this one stood still."""

    def __init__(self) -> None:
        super().__init__(
            "another process works on a rebuild of this replica, or did meanwhile, since this one "
            "stood still for longer than the lock is held: see `ledger rebuild status`; the same "
            "command again goes on from there"
        )


@asynccontextmanager
async def held(model: ReadModel, *, wait_s: float) -> AsyncIterator[bool]:
    """Hold the lock, and renew it; False where another one has it for longer than `wait_s`.

    What is done meanwhile is cancelled where the lock is lost, and this raises `LostLockError`.
    """
    owner = f"{os.getpid()} on {gethostname()}{_THEN}{token_hex(16)}"
    deadline = time.monotonic() + wait_s
    while not await model.hold(HOLDER, owner, HELD_MS):
        if time.monotonic() >= deadline:
            yield False
            return
        await asyncio.sleep(_TRY_S)
    await note_last(model, owner)
    work = cast("asyncio.Task[object]", asyncio.current_task())
    before = work.cancelling()
    lost: list[bool] = []
    renewing = asyncio.create_task(_renew(model, owner, work, lost))
    try:
        try:
            yield True
        finally:
            renewing.cancel()
            for _ in lost:
                work.uncancel()
            await asyncio.wait([renewing])
            with suppress(ReadModelUnavailableError):
                await model.release(HOLDER, owner)
    except asyncio.CancelledError:
        if not lost or work.cancelling() > before:
            raise
        raise LostLockError from None
    if lost:
        raise LostLockError


async def holder(model: ReadModel) -> str | None:
    """Process that holds the lock, as people are told of it; None: nobody does."""
    [owner] = await model.get([HOLDER])
    return None if owner is None else owner.decode(errors="replace").partition(_THEN)[0]


async def note_last(model: ReadModel, owner: str) -> None:
    """Note who has it; as locks are, since these can be taken in a full Redis, too."""
    [last] = await model.get([LAST])
    if last is not None:
        await model.release(LAST, last.decode())
    await model.hold(LAST, owner, _NOTED_MS)


async def _renew(
    model: ReadModel, owner: str, work: asyncio.Task[object], lost: list[bool]
) -> None:
    """Renew it; where it is lost, cancel the work, and note each cancellation."""
    while True:
        await asyncio.sleep(_RENEW_S)
        with suppress(ReadModelUnavailableError):
            if await model.hold(HOLDER, owner, HELD_MS) and await _was_nobody(model, owner):
                continue
            break
    while True:
        lost.append(True)
        work.cancel()
        await asyncio.sleep(_AGAIN_S)


async def _was_nobody(model: ReadModel, owner: str) -> bool:
    """Whether nobody else has had it since."""
    [last] = await model.get([LAST])
    return last == owner.encode()
