"""Counts of a minute by subject, in bounded memory. Pure: whoever counts says what time it is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from msgspec import Struct

WINDOW_S: Final = 60
SUBJECTS_MAX: Final = 16_384
"""Whoever was seen least recently is forgotten first: some 2 MB."""


class Count(Struct, frozen=True, kw_only=True):
    """How often it was counted in this minute, of how often it may be; `reset_s`: its end.

    `reset_s` in Unix seconds, `left_s` from now on.
    """

    count: int
    limit: int
    reset_s: int
    left_s: int

    def headers(self) -> dict[str, str]:
        """Headers as existing clients read them of a 429."""
        return {
            "Retry-After": str(self.left_s),
            "X-RateLimit-Window": "1m",
            "X-RateLimit-Count": str(self.count),
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - self.count)),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class Minute:
    """Counts in fixed windows of one minute, all of them new with each. `limit` 0: none."""

    def __init__(self, limit: int, *, subjects_max: int = SUBJECTS_MAX) -> None:
        self.limit = limit
        self._subjects_max = subjects_max
        self._minute = 0
        self._counts: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, subject: Hashable, now_s: float, times: int = 1) -> Count:
        """Count so many times more, at this Unix time."""
        self._turn(now_s)
        count = self._counts.pop(subject, 0) + times
        self._counts[subject] = count
        if len(self._counts) > self._subjects_max:
            del self._counts[next(iter(self._counts))]
        return self._count(count, now_s)

    def seen(self, subject: Hashable, now_s: float) -> Count:
        """Tell the count and count nothing."""
        self._turn(now_s)
        return self._count(self._counts.get(subject, 0), now_s)

    def _turn(self, now_s: float) -> None:
        minute = int(now_s // WINDOW_S)
        if minute != self._minute:
            self._minute = minute
            self._counts = {}

    def _count(self, count: int, now_s: float) -> Count:
        reset_s = (self._minute + 1) * WINDOW_S
        left_s = max(1, reset_s - int(now_s))
        return Count(count=count, limit=self.limit, reset_s=reset_s, left_s=left_s)
