"""How far a rebuild is, and how long it will take: a range that narrows."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec
from msgspec import Struct

from projector.rebuild.intent import KEY, Foreseen

PROGRESS_KEY: Final = f"{KEY}:progress"
PROGRESS_TTL_S: Final = 15
"""What nobody renews is gone: its process is."""

OF_LATE_S: Final = 10.0
_SPREAD_FIRST, _SPREAD_LAST = 0.5, 0.1
_CERTAIN: Final = 0.02
_FORESEEN: Final = 0.05
"""Share of the work for which what was foreseen counts beside what was seen."""


class Progress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A moment of a rebuild, `at_ms` of the replica's clock.

    `percent` of the whole work; `events` folded of `events_total`, at `events_per_s` of late;
    `keys` written or read back, at `keys_per_s` of late. `left_s`: least and most seconds left,
    empty until that can be told. `lag_ms`: age of what serves; `ping_ms`: what its Redis takes to
    answer. `memory_bytes`: of the Redis; `builder_bytes`: of all builders. `held`: it stands still,
    since what serves needs the machine. `too_large`: partitions that fit no builder.
    """

    phase: str
    at_ms: int = 0
    percent: float = 0.0
    events: int = 0
    events_total: int = 0
    events_per_s: float = 0.0
    keys: int = 0
    keys_per_s: float = 0.0
    left_s: tuple[int, int] | None = None
    lag_ms: int = 0
    ping_ms: float = 0.0
    memory_bytes: int = 0
    builder_bytes: int = 0
    held: bool = False
    too_large: tuple[int, ...] = ()


class Rate:
    """How fast a count has grown of late, as long as it was looked at."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self.per_s = 0.0

    def see(self, at_s: float, count: int) -> None:
        """Take a look in."""
        seen = self._seen
        if seen and count < seen[-1][1]:
            seen.clear()
        seen.append((at_s, count))
        while len(seen) > 2 and at_s - seen[1][0] >= OF_LATE_S:  # noqa: PLR2004 - a first and a last
            seen.popleft()
        began_s, first = seen[0]
        if at_s > began_s:
            self.per_s = round((count - first) / (at_s - began_s), 1)


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Progress)


def progress_document(progress: Progress) -> bytes:
    """Stored form of a moment."""
    return _encoder.encode(progress)


def read_progress(document: bytes) -> Progress:
    """Moment of its stored form."""
    return _decoder.decode(document)


class Work:
    """Work done and work to do, in the seconds that were foreseen for it.

    `events`: records there are to fold. `folded`: of these before it began, by an earlier process.
    """

    def __init__(self, events: int, foreseen: Foreseen, folded: int = 0) -> None:
        self.events_total = events
        self.events = folded
        self.written = round(foreseen.keys * folded / events) if events else 0
        self.read = 0
        self._foreseen = foreseen
        self._built = False
        self._before = self._done_s

    @classmethod
    def done(cls, events: int) -> Work:
        """Work that was done before: all is folded, written and read back."""
        work = cls(events, Foreseen(keys=0, folding_s=1, writing_s=0, reading_back_s=0, else_s=0))
        work.events = events
        return work

    def folded_on(self, count: int) -> None:
        """Take in records that no builder has folded: the keys of these are written with them."""
        self.events += count
        self.written += round(self._foreseen.keys * count / max(1, self.events_total))

    def built(self) -> None:
        """Say that all is folded and written: as many keys are there as were written."""
        self._built = True

    @property
    def share(self) -> float:
        """Share of the work that is done, 0 to 1; what comes after reading back isn't in it.

        Of a ledger so small that nothing of it takes a time that can be told: all or nothing.
        """
        total_s = self._total_s
        return self._done_s / total_s if total_s > 0 else float(self._built)

    @property
    def begun(self) -> bool:
        """Whether any of it is done by now."""
        return self._done_s > self._before

    @property
    def _total_s(self) -> float:
        told = self._foreseen
        return told.folding_s + told.writing_s + told.reading_back_s

    @property
    def _done_s(self) -> float:
        told = self._foreseen
        if self._built:
            read = min(1.0, self.read / max(1, self.written))
            return told.folding_s + told.writing_s + told.reading_back_s * read
        folded = self.events / self.events_total if self.events_total else 0.0
        written = min(1.0, self.written / max(1, told.keys))
        return told.folding_s * folded + told.writing_s * written

    def left_s(self, elapsed_s: float) -> tuple[int, int] | None:
        """Least and most seconds left, after `elapsed_s` of work; None while too little was seen.

        What was foreseen is corrected by what was seen since, the more the more there was.
        """
        share = self.share
        if share < _CERTAIN:
            return None
        prior = _FORESEEN * self._total_s
        seen = self._done_s - self._before + prior
        pace = (elapsed_s + prior) / seen if seen > 0 else 0.0
        left = max(0.0, self._total_s - self._done_s) * pace
        spread = _SPREAD_LAST + (_SPREAD_FIRST - _SPREAD_LAST) * (1 - share)
        return round(left * (1 - spread)), round(left * (1 + spread)) + 1
