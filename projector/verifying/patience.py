"""Patience with a broker or a Redis that is too busy to answer in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ledger.event_log.port import LogUnavailable
from projector.read_model.port import ReadModelUnavailableError

T = TypeVar("T")

TRIES: Final = 5
AGAIN_S: Final = 1.0


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call a few times, what is safe to repeat; then raises as the call does."""
    for left in reversed(range(TRIES)):
        try:
            return await call()
        except (LogUnavailable, ReadModelUnavailableError):
            if not left:
                raise
        await asyncio.sleep(AGAIN_S)
    raise AssertionError
