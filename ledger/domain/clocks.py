"""The two clocks of the log, and the producer's now (docs/format.md, "Time")."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from msgspec import Struct

ELAPSED_STEP_MS_MAX: Final = 10_000
"""A jump of the broker's clock moves the elapsed clock by at most this much."""
CLOCKS_APART_ALARM_MS: Final = 5_000
CLOCKS_APART_REFUSE_MS: Final = 60_000


class PartitionClock(Struct, frozen=True, kw_only=True, gc=False):
    """The elapsed clock of a partition: advances over all of its records, whatever they are."""

    timestamp_ms: int | None = None
    elapsed_ms: int = 0

    def advance(self, timestamp_ms: int) -> PartitionClock:
        """Clock after a record with the broker's `timestamp_ms`; it never runs back."""
        if self.timestamp_ms is None:
            return PartitionClock(timestamp_ms=timestamp_ms, elapsed_ms=0)
        step = timestamp_ms - self.timestamp_ms
        if step > ELAPSED_STEP_MS_MAX:
            step = ELAPSED_STEP_MS_MAX
        elif step < 0:
            step = 0
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
    days, minute = divmod(minutes, 1440)
    seconds = f"{in_minute_ms // 1000:02d}.{in_minute_ms % 1000:03d}Z"
    return f"{_day(days)}{_MINUTES[minute]}{seconds}"


@lru_cache(maxsize=16_384)
def _day(days: int) -> str:
    """Times share their days, and formatting a date is dear."""
    return datetime.fromtimestamp(days * 86_400, tz=UTC).isoformat()[:10]


def from_rfc3339(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time with an offset; `ValueError` without one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "a time needs its offset from UTC"
        raise ValueError(msg)
    return round((moment - _EPOCH).total_seconds() * 1000)


def from_log_time(text: str) -> int:
    """Milliseconds since 1970 of a time as `rfc3339` writes it; `ValueError` for any other text."""
    try:
        in_day_ms = _MINUTE_MS[text[10:17]] + _SECOND_MS[text[17:20]] + _MS[text[20:]]
    except KeyError:
        raise ValueError("not a time of the log") from None
    return _day_ms(text[:10]) + in_day_ms


@lru_cache(maxsize=16_384)
def _day_ms(text: str) -> int:
    """Times share their days, and reading a date is dear."""
    if _DAY.fullmatch(text) is None:
        raise ValueError("not a time of the log")
    return from_rfc3339(f"{text}T00:00Z")


_DAY: Final = re.compile("(?:19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}")
_MINUTES: Final = [f"T{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60)]
_MINUTE_MS: Final = {text: minute * 60_000 for minute, text in enumerate(_MINUTES)}
_SECOND_MS: Final = {f"{second:02d}.": second * 1000 for second in range(60)}
_MS: Final = {f"{ms:03d}Z": ms for ms in range(1000)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
