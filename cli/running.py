"""Work that Ctrl-C ends, whatever it is doing just then."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

AGAIN_S: Final = 1.0
"""How long after a cancellation that did not end the work it is cancelled again."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. Raises `KeyboardInterrupt` where a Ctrl-C has ended it.

    One cancellation can get lost, in `asyncio.wait_for` of Python 3.11 and in clients that catch
    all, and closing a connection to what is frozen may hang: so it is repeated.
    """
    interrupted: list[bool] = []
    try:
        return asyncio.run(_interruptible(work, interrupted))
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise


async def _interruptible(work: Coroutine[Any, Any, T], interrupted: list[bool]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def interrupt() -> None:
        # Nobody wants to hear then of a connection that could not be closed.
        loop.set_exception_handler(lambda *_: None)
        if task.cancel():
            interrupted.append(True)
            loop.call_later(AGAIN_S, interrupt)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await task
    finally:
        loop.remove_signal_handler(signal.SIGINT)
