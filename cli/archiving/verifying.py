"""Verifying a backup beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from ledger.archive.reading import Archive


class _NotWanted(Exception):
    """Nobody waits for the result any more."""


async def verify(archive: Archive, moved: Callable[[int], None]) -> int:
    """See `Archive.verify`; cancelled, its thread ends at its next step."""
    given_up = threading.Event()

    def step(count: int) -> None:
        if given_up.is_set():
            raise _NotWanted
        moved(count)

    try:
        return await asyncio.to_thread(archive.verify, step)
    finally:
        given_up.set()
