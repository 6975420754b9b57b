"""How far behind its work this process is: how late its event loop comes to what is due.

A single late turn says nothing: a machine has other things to do. What counts is how late it came
at best for a while, as with queues on a wire (CoDel, RFC 8289): work that waits all the time is
more than can be done.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

TICK_S: Final = 0.05
WHILE_S: Final = 1.0


class Pressure:
    """Looks at the clock every `TICK_S`; `run` it beside the work, until cancelled."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque(maxlen=round(WHILE_S / TICK_S))
        self.late_s = 0.0
        """How late it came at best in the last second; 0: it keeps up."""

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self.note(now, now - due)

    def note(self, now: float, late_s: float) -> None:
        """Take in how late a look came; one alone in its second is no pressure but a pause."""
        self._looks.append((now, max(0.0, late_s)))
        while self._looks[0][0] < now - WHILE_S:
            self._looks.popleft()
        alone = len(self._looks) == 1
        self.late_s = 0.0 if alone else min(late for _, late in self._looks)
