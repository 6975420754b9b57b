"""FlexLM debug logs: ` H:MM:SS (daemon) OUT: "FEATURE" user@host  (N licenses)`, a line each.

Lines have a time and no date. The day comes from the start lines and the TIMESTAMP lines; all
daemons are one sequence, and a time more than 12 h before the line before is the next day's.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, cast

from ledger.domain.terms import SEATS_MAX
from ledger.sources.activity import (
    LINE_BYTES_MAX,
    NAME_CHARACTERS_MAX,
    Action,
    Activity,
    Broken,
    Parsed,
)

FORM: Final = "flexlm"

_LINE: Final = re.compile(r"^\s?(\d{1,2}):(\d\d):(\d\d) \(([^)]*)\) (.*)$", re.ASCII)
_EVENT: Final = re.compile(r"^(OUT|IN|DENIED|UNSUPPORTED): ")
_SAID: Final = re.compile(
    r'^(?:OUT|IN|DENIED|UNSUPPORTED): "(?P<feature>[^"]+)" (?:\([^)]*\) )?'
    r"(?P<user>.+)@(?P<host>[^@\s]+)(?P<rest>(?:\s.*)?)$"
)
_COUNT: Final = re.compile(r"\((\d{1,10}) licenses?\)", re.ASCII)
_REASON: Final = re.compile(r"\((?!\d+ licenses?\))(.*)\)\s*$", re.ASCII)
_STARTED: Final = re.compile(r" started on .*\((\d{1,2})/(\d{1,2})/(\d{4})\)\s*$", re.ASCII)
_TIMESTAMP: Final = re.compile(r"^TIMESTAMP (\d{1,2})/(\d{1,2})/(\d{4})\b", re.ASCII)
_SLOG: Final = re.compile(r"Start-Date: \w{3} (\w{3}) (\d\d) (\d{4}) ", re.ASCII)
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_ACTIONS: Final[dict[str, Action]] = {
    "OUT": "checkout",
    "IN": "return",
    "DENIED": "denied",
    "UNSUPPORTED": "unsupported",
}
_NEXT_DAY: Final = timedelta(hours=12)


class FlexlmParser:
    """Parser of one log, line by line in order. `zone`: where the server's clock stands.

    A time that a change to winter shows twice is taken as the first of the two.
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._day: date | None = None
        self._last: time | None = None

    def __call__(self, number: int, raw: bytes) -> Parsed:
        """Read line `number`; never raises."""
        text = raw[:LINE_BYTES_MAX].decode("utf-8", "replace").rstrip("\r\n")
        line = _LINE.match(text)
        if line is None:
            return self._unreadable(number, text)
        try:
            clock = time(int(line[1]), int(line[2]), int(line[3]))
        except ValueError:
            return self._unreadable(number, text)
        self._follow(clock, line[5])
        event = _EVENT.match(line[5])
        if event is None:
            return None
        if len(raw) > LINE_BYTES_MAX:
            return Broken(line=number, reason=f"the line has over {LINE_BYTES_MAX} bytes")
        return self._said(number, clock, event[1], line[5].rstrip())

    def _unreadable(self, number: int, text: str) -> Broken | None:
        """A line whose time can't be read is broken only if it is about an event."""
        if re.search(r'\b(OUT|IN|DENIED|UNSUPPORTED): "', text):
            return Broken(line=number, reason="its time is not H:MM:SS before (daemon)")
        return None

    def _follow(self, clock: time, rest: str) -> None:
        """Keep track of the day."""
        said = _day_said(rest)
        if said is not None:
            self._day = said
        elif self._day is not None and _back_by(clock, self._last) > _NEXT_DAY:
            self._day += timedelta(days=1)
        self._last = clock

    def _said(self, number: int, clock: time, word: str, rest: str) -> Activity | Broken:
        said = _SAID.match(rest)
        if said is None:
            return Broken(line=number, reason=f'{word} is not followed by "FEATURE" user@host')
        if self._day is None:
            return Broken(line=number, reason="no line before it says which day it is")
        if max(len(said[name]) for name in ("feature", "user", "host")) > NAME_CHARACTERS_MAX:
            reason = f"feature, user or host has over {NAME_CHARACTERS_MAX} characters"
            return Broken(line=number, reason=reason)
        count = _COUNT.search(said["rest"])
        seats = int(count[1]) if count else 1
        if not 1 <= seats <= SEATS_MAX:
            return Broken(line=number, reason=f"{seats} licenses: it is a number from 1")
        reason_said = _REASON.search(said["rest"])
        return Activity(
            line=number,
            at_ms=self._at_ms(clock),
            action=_ACTIONS[word],
            feature=said["feature"],
            user=said["user"],
            host=said["host"],
            seats=seats,
            reason=reason_said[1][:NAME_CHARACTERS_MAX] if reason_said else None,
        )

    def _at_ms(self, clock: time) -> int:
        moment = datetime.combine(cast("date", self._day), clock, tzinfo=self._zone)
        return int(moment.timestamp()) * 1000


def _back_by(clock: time, last: time | None) -> timedelta:
    return timedelta() if last is None else _since_midnight(last) - _since_midnight(clock)


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)


def _day_said(rest: str) -> date | None:
    """Return the day that a start line or a TIMESTAMP line names."""
    named = _TIMESTAMP.match(rest) or _STARTED.search(rest)
    try:
        if named is not None:
            return date(int(named[3]), int(named[1]), int(named[2]))
        slog = _SLOG.search(rest)
        if slog is not None and _MONTHS.find(slog[1]) % 3 == 0:
            return date(int(slog[3]), _MONTHS.find(slog[1]) // 3 + 1, int(slog[2]))
    except ValueError:
        return None
    return None
