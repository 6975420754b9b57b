"""The producer's now: median of this worker's clock and the replicas', for events and checks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from api.logs import alarm
from api.problems import unavailable
from ledger.domain.clocks import Now, producer_now

ALARM_EVERY_S: Final = 60.0
CARRIED_S: Final = 0.05

_log: Final = logging.getLogger(__name__)


class Clock:
    """Gives now. `others`: the replicas' clocks in milliseconds since 1970."""

    def __init__(self, others: Callable[[], list[int]]) -> None:
        self._others = others
        self._alarmed = float("-inf")
        self._looked_at = float("-inf")
        self._looked_ms = 0

    @property
    def now(self) -> Now:
        """Now, and how far the clocks are apart."""
        now = producer_now(round(time.time() * 1000), self._others())
        if now.alarming and time.monotonic() - self._alarmed > ALARM_EVERY_S:
            self._alarmed = time.monotonic()
            alarm(
                _log,
                "clocks-apart",
                "the clocks of this worker and the replicas differ",
                apart_ms=now.apart_ms,
                may_write=now.may_write,
            )
        return now

    @property
    def check_ms(self) -> int:
        """Now for a check, which is answered by whatever clocks there are.

        What the clocks say is carried by the monotonic one for a moment.
        """
        at = time.monotonic()
        if at - self._looked_at > CARRIED_S:
            self._looked_at, self._looked_ms = at, self.now.time_ms
        return self._looked_ms + int((at - self._looked_at) * 1000)

    @property
    def write_ms(self) -> int:
        """Now for an event; raises a 503 `Problem` where no clock is to be trusted with it."""
        now = self.now
        if not now.may_write:
            raise unavailable(
                "This worker can't tell the time: the replicas' clocks are not in reach, or far "
                "from its own. Nothing was written; repeat after a second.",
                code="CLOCK_UNSURE",
            )
        return now.time_ms
