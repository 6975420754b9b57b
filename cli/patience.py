"""Patience with a broker that is busy or away: what can be repeated is done again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from cli import output
from ledger.event_log.port import AppendRefused, AppendUnknown, LogUnavailable, RecordTooLarge

T = TypeVar("T")

PATIENCE_S: Final = 60.0
"""How long nothing may be acknowledged before a command gives up."""
SAID_AFTER_S: Final = 3.0
"""After how long without an answer a command says what it waits for."""
PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 2.0


class _Waiting:
    """Says what is waited for: once, also where several parts of a work wait for the same."""

    said_at = -PATIENCE_S

    def say(self, error: Exception, now: float, left_s: float) -> None:
        if now - self.said_at >= PATIENCE_S:
            self.said_at = now
            output.remark(f"{error}; waiting for it, {left_s:.0f} s at most")


_waiting: Final = _Waiting()


class BrokerAwayError(Exception):
    """Nothing was acknowledged for long; what was acknowledged stays, and a new run goes on."""


async def patiently(call: Callable[[], Awaitable[T]], *, for_s: float | None = None) -> T:
    """Call until the broker answers, for `for_s` seconds, or `PATIENCE_S`.

    Raises `BrokerAwayError` after that. What is called again is safe to repeat: a reading, or an
    append whose double does no harm.
    """
    for_s = PATIENCE_S if for_s is None else for_s
    loop = asyncio.get_running_loop()
    began = loop.time()
    given_up_at, pause_s = began + for_s, PAUSE_S
    while True:
        try:
            return await call()
        except RecordTooLarge:
            raise
        except (AppendRefused, AppendUnknown, LogUnavailable) as error:
            if loop.time() > given_up_at:
                raise BrokerAwayError(f"for {for_s:.0f} s: {error}") from None
            if loop.time() - began >= min(SAID_AFTER_S, for_s / 2):
                _waiting.say(error, loop.time(), given_up_at - loop.time())
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
