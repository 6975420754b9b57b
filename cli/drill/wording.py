"""Figures of a drill in words: rounded so that none says more, or less, than was counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cli.drill.outcome import PhaseName

NOTHING: Final = "\u2013"
"""Stands where nothing was measured."""

WHILE: Final = {
    PhaseName.HEALTHY: "while all was well",
    PhaseName.REINDEX: "during the reindex",
    PhaseName.DISK_FULL: "while the disk was full",
    PhaseName.CLEANUP: "during the clean-up",
    PhaseName.LOCK: "while the table was locked",
    PhaseName.HANG: "while the database hung",
    PhaseName.DEATH: "while the database was dead",
    PhaseName.RETURN: "when everybody came back",
    PhaseName.AFTERWARDS: "afterwards",
}
"""When it was, as the end of a sentence."""

_FINE: Final = 10
_MINUTE_S: Final = 60


def count(number: int) -> str:
    """A number with separators of thousands."""
    return f"{number:,}"


def of(part: int, whole: int) -> str:
    """`3 of 1,204`; a dash where there was nothing."""
    return f"{part:,} of {whole:,}" if whole else NOTHING


def share(part: int, whole: int) -> str:
    """A percentage; 0 % and 100 % are said only of none and of all."""
    if not whole:
        return NOTHING
    percent = 100 * part / whole
    if part in {0, whole} or 1 <= percent <= 99:  # noqa: PLR2004 - beyond it a digit more tells
        return f"{percent:.0f} %"
    if f"{percent:.1f}" == "0.0":
        return "< 0.1 %"
    if f"{percent:.1f}" == "100.0":
        return "> 99.9 %"
    return f"{percent:.1f} %"


def milliseconds(value: float | None) -> str:
    """A latency without its unit: finer below 10 ms."""
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value < _FINE else f"{value:,.0f}"


def minutes(value: float) -> str:
    """Minutes without their unit: finer below 10, and 0 only of none at all."""
    if value == 0:
        return "0"
    if f"{value:.1f}" == "0.0":
        return "< 0.1"
    return f"{value:.1f}" if value < _FINE else f"{value:,.0f}"


def number(value: float) -> str:
    """A rate or a time: no digits behind the point that say nothing."""
    return f"{value:,.1f}".removesuffix(".0")


def duration(seconds: float) -> str:
    """`45 s`, `2 min 5 s`."""
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    return f"{whole // _MINUTE_S:,} min {whole % _MINUTE_S} s"


def span(from_s: float, to_s: float) -> str:
    """`12-30 s`, of the drill's own clock."""
    return f"{number(from_s)}\u2013{number(to_s)} s"


def day(iso: str) -> str:
    """A moment of ISO 8601 in UTC, for people: `5 November 2019, 08:00 UTC`."""
    moment = datetime.fromisoformat(iso)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def printable(text: str) -> str:
    """Text of others in one line: no control character passes."""
    return "".join(
        letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split())
    )
