"""How far a REINDEX is, how long it still takes and when it must be ended; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

TOLD_FROM: Final = 0.1
"""Before that share of the work nobody can say how long the rest takes."""
_BEGUN: Final = (0.6, 2.2)
_EARLY: Final = (0.85, 2.0)
_HALF: Final = (0.85, 1.55)
_LATE: Final = (0.85, 1.4)
_CONCURRENTLY: Final = (1.0, 5.0)
TREND_S: Final = 1.0
QUICK_S: Final = 0.2
ENDING_S: Final = 0.5
"""Within that a cancelled build was seen to stop writing, with as much again to spare."""

_BEFORE: Final = frozenset({"", "initializing", "waiting for writers before build"})
_WORDS: Final = {
    "": "begins, or ends",
    "initializing": "begins",
    "waiting for writers before build": "waits for whoever writes to the table",
    "building index": "builds",
    "building index: initializing": "begins to build",
    "building index: scanning table": "reads the table and sorts",
    "building index: sorting live tuples": "sorts",
    "building index: sorting dead tuples": "sorts",
    "building index: loading tuples in tree": "writes the index",
    "waiting for writers before validation": "waits for whoever writes to the table",
    "index validation: scanning index": "compares: reads the new index",
    "index validation: sorting tuples": "compares: sorts",
    "index validation: scanning table": "compares: reads the table",
    "waiting for old snapshots": "waits for older transactions",
    "waiting for readers before marking dead": "waits for who still uses the old index",
    "waiting for readers before dropping": "waits for who still uses the old index",
}


class Build(Struct, frozen=True, kw_only=True):
    """What Postgres says of the index at hand."""

    phase: str
    blocks_done: int = 0
    blocks_total: int = 0
    rows_done: int = 0
    rows_total: int = 0

    @property
    def building(self) -> bool:
        """Whether an index is being built now; else something is compared or waited for."""
        return self.phase.startswith("building index")

    @property
    def built(self) -> bool:
        """Whether all indexes of a CONCURRENTLY are built, and compared or waited for."""
        return not self.building and self.phase not in _BEFORE

    @property
    def words(self) -> str:
        """The phase, for people."""
        return _WORDS.get(self.phase, self.phase)

    @property
    def share(self) -> float:
        """How much of this index is built: the table read is a half, the index written one."""
        read = _part(self.blocks_done, self.blocks_total)
        written = _part(self.rows_done, self.rows_total)
        if "loading" in self.phase:
            return 0.5 + 0.5 * written
        if "sorting" in self.phase:
            return 0.5
        # Before its first page is read Postgres says of a scan that all of them are.
        return 0.5 * read if "scanning" in self.phase and read < 1 else 0.0


def _part(done: int, total: int) -> float:
    return min(1.0, done / total) if total > 0 else 0.0


def share(weights: Sequence[float], at: int, now: float) -> float:
    """How much of all is built: what comes before `at`, and the share `now` of that."""
    whole = sum(weights)
    if whole <= 0:
        return 0.0
    return min(1.0, (sum(weights[:at]) + now * sum(weights[at : at + 1])) / whole)


def left_s(done: float, elapsed_s: float, *, concurrently: bool) -> tuple[float, float] | None:
    """Least and most seconds that it still takes; None: nobody can say yet.

    Always a range. Its factors are how far off the weighted share was measured to be.
    """
    if done < TOLD_FROM or (concurrently and done >= 1):
        return None
    whole = elapsed_s / done
    if concurrently:
        least, most = _CONCURRENTLY
    elif done < 0.5:  # noqa: PLR2004 - half way
        least, most = _BEGUN if done < 0.25 else _EARLY  # noqa: PLR2004 - a quarter
    else:
        least, most = _HALF if done < 0.75 else _LATE  # noqa: PLR2004 - three quarters
    return max(0.0, least * whole - elapsed_s), max(0.0, most * whole - elapsed_s)


class Trend:
    """How fast a disk fills, by what was free at each look."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, free_bytes: int) -> None:
        """Take one look into account."""
        self._looks.append((at_s, free_bytes))
        while self._looks[0][0] < at_s - TREND_S:
            self._looks.popleft()

    @property
    def falling(self) -> float:
        """Bytes a second by which the free space falls, over a second; negative: it grows."""
        return self._fall(TREND_S)

    @property
    def falling_fast(self) -> float:
        """The same, or over the last moments where that is more; never less than none."""
        return max(0.0, self._fall(TREND_S), self._fall(QUICK_S))

    def _fall(self, within_s: float) -> float:
        last_at, last = self._looks[-1]
        first_at, first = next(one for one in self._looks if one[0] >= last_at - within_s)
        return (first - last) / (last_at - first_at) if last_at > first_at else 0.0


def must_end(free_bytes: int, floor_bytes: int, falling: float) -> bool:
    """Whether the floor is reached, or will be before an end that is begun now takes effect."""
    return free_bytes - falling * ENDING_S <= floor_bytes
