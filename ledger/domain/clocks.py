"""The two clocks of the log, and the producer's now (docs/format.md, "Time")."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

ELAPSED_STEP_MS_MAX: Final = 10_000
"""A jump of the broker's clock moves the elapsed clock by at most this much."""
CLOCKS_APART_ALARM_MS: Final = 5_000
CLOCKS_APART_REFUSE_MS: Final = 60_000


class PartitionClock(Struct, frozen=True, kw_only=True):
    """The elapsed clock of a partition: advances over all of its records, whatever they are."""

    timestamp_ms: int | None = None
    elapsed_ms: int = 0

    def advance(self, timestamp_ms: int) -> PartitionClock:
        """Clock after a record with the broker's `timestamp_ms`; it never runs back."""
        if self.timestamp_ms is None:
            return PartitionClock(timestamp_ms=timestamp_ms, elapsed_ms=0)
        step = min(max(timestamp_ms - self.timestamp_ms, 0), ELAPSED_STEP_MS_MAX)
        return PartitionClock(timestamp_ms=timestamp_ms, elapsed_ms=self.elapsed_ms + step)


class Now(Struct, frozen=True, kw_only=True):
    """What a producer takes for now: `time_ms`, how far the clocks are apart, may it write."""

    time_ms: int
    apart_ms: int
    may_write: bool

    @property
    def alarming(self) -> bool:
        """Whether the clocks differ by more than a person should know of."""
        return self.apart_ms > CLOCKS_APART_ALARM_MS


def producer_now(own_ms: int, others_ms: list[int]) -> Now:
    """Median of the own clock and the replicas'; with one missing the smaller of two.

    A producer that reaches one other clock only, more than 60 s from its own, or none at all,
    may not write: no clock alone decides anything.
    """
    clocks = sorted([own_ms, *others_ms])
    apart_ms = clocks[-1] - clocks[0]
    may_write = len(clocks) > 2 or (len(clocks) == 2 and apart_ms <= CLOCKS_APART_REFUSE_MS)  # noqa: PLR2004 - counts of clocks
    return Now(time_ms=clocks[(len(clocks) - 1) // 2], apart_ms=apart_ms, may_write=may_write)


@lru_cache(maxsize=1024)
def rfc3339(time_ms: int) -> str:
    """Write milliseconds since 1970 as RFC 3339 in UTC with milliseconds, the log's one form.

    An answer, a log line and the next answer say the same moment.
    """
    minutes, in_minute_ms = divmod(time_ms, 60_000)
    return f"{_minute(minutes)}{in_minute_ms // 1000:02d}.{in_minute_ms % 1000:03d}Z"


@lru_cache(maxsize=16_384)
def _minute(minutes: int) -> str:
    """All before the seconds: times share their minutes, and formatting a date is dear."""
    return f"{datetime.fromtimestamp(minutes * 60, tz=UTC).isoformat()[:16]}:"


def from_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time with an offset; `ValueError` without one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a time needs its offset from UTC"
        raise ValueError(msg)
    return round((moment - _EPOCH).total_seconds() * 1000)


def from_log_time(text: str) -> int:
    """Milliseconds since 1970 of a time as `rfc3339` writes it; `ValueError` for no day of any."""
    return _minute_ms(text[:16]) + int(text[17:19]) * 1000 + int(text[20:23])


@lru_cache(maxsize=16_384)
def _minute_ms(text: str) -> int:
    """Times share their minutes, and reading a date is dear."""
    return from_rfc3339(f"{text}Z")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
