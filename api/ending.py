"""Ending background tasks, for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

AGAIN_S: Final = 0.05


async def end(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel tasks until they have ended, whatever they raise.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which redis-py sends through, loses
    a cancellation that comes in the same turn as what it waits for.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
