"""FlexLM debug logs: ` H:MM:SS (daemon) OUT: "FEATURE" user@host  (N licenses)`, a line each.

Lines have a time and no date. The day comes from the start lines and the TIMESTAMP lines; all
daemons are one sequence, and a time more than 12 h before the line before is the next day's.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, cast

from ledger.domain.terms import SEATS_MAX
from ledger.sources.activity import Action, Activity, Broken, Parsed, wrong_name
from ledger.sources.lines import LINE_BYTES_MAX, text_of

FORM: Final = "flexlm"

_LINE: Final = re.compile(r" *(\d{1,2}):(\d\d):(\d\d) \([^)]*\) (.*)", re.ASCII | re.DOTALL)
_EVENT: Final = re.compile(r"(OUT|IN|DENIED|UNSUPPORTED):(.*)", re.DOTALL)
_ASTRAY: Final = re.compile(r'(?<![-\w])(?:OUT|IN|DENIED|UNSUPPORTED): *"')
_SAID: Final = re.compile(r'\s+"([^"]+)"\s+(?:\([^)]*\)\s+)?(.+)', re.DOTALL)
_COUNT: Final = re.compile(r"(\d+) licenses?", re.ASCII)
_COUNT_DIGITS_MAX: Final = 10
_GROUPS_MAX: Final = 2  # [(N licenses)] [(REASON)]
_REASON_CHARACTERS_MAX: Final = 256
_STARTED: Final = re.compile(r" started on .*\((\d{1,2})/(\d{1,2})/(\d{4})\)\s*$", re.ASCII)
_TIMESTAMP: Final = re.compile(r"^TIMESTAMP (\d{1,2})/(\d{1,2})/(\d{4})\b", re.ASCII)
_SLOG: Final = re.compile(r"Start-Date: \w{3} (\w{3}) +(\d{1,2}) (\d{4})\b", re.ASCII)
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_ACTIONS: Final[dict[str, Action]] = {
    "OUT": "checkout",
    "IN": "return",
    "DENIED": "denied",
    "UNSUPPORTED": "unsupported",
}
_NEXT_DAY: Final = timedelta(hours=12)
_YEARS: Final = range(1980, 3000)
"""What a log may say; outside of it the ledger has no calendar, or the day is a misprint."""


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
        text = text_of(raw[:LINE_BYTES_MAX])
        line = _LINE.fullmatch(text)
        if line is None:
            return self._astray(number, text)
        try:
            clock = time(int(line[1]), int(line[2]), int(line[3]))
        except ValueError:
            return self._astray(number, text)
        self._follow(clock, line[4])
        event = _EVENT.match(line[4])
        if event is None:
            return self._astray(number, line[4])
        if len(raw) > LINE_BYTES_MAX:
            return Broken(line=number, reason=f"the line has over {LINE_BYTES_MAX} bytes")
        return self._said(number, clock, event[1], event[2])

    def _astray(self, number: int, text: str) -> Broken | None:
        """A line that is no event is broken only if there is one somewhere in it."""
        if _ASTRAY.search(text):
            reason = "an event is not right behind H:MM:SS (daemon)"
            return Broken(line=number, reason=reason)
        return None

    def _follow(self, clock: time, rest: str) -> None:
        """Keep track of the day."""
        said = _day_said(rest)
        if said is not None:
            self._day = said
        elif self._day is not None and _back_by(clock, self._last) > _NEXT_DAY:
            following = self._day + timedelta(days=1)
            self._day = following if following.year in _YEARS else None
        self._last = clock

    def _said(self, number: int, clock: time, word: str, rest: str) -> Activity | Broken:
        said = _SAID.fullmatch(rest)
        if said is None:
            return Broken(line=number, reason=f'{word} is not followed by "FEATURE" user@host')
        feature, (who, groups) = said[1], _groups(said[2].rstrip())
        user, at, host = who.rpartition("@")
        wrong = wrong_name(feature, user, host) if at else ("user@host", "there is none")
        if wrong is not None:
            return Broken(line=number, reason=_wrong(word, feature, *wrong))
        count = _COUNT.fullmatch(groups[0]) if groups else None
        seats = 1 if count is None else int(count[1][: _COUNT_DIGITS_MAX + 1])
        reasons = groups if count is None else groups[1:]
        if len(reasons) > 1:
            return Broken(line=number, reason=_wrong(word, feature, "count", "it is (N licenses)"))
        if not 1 <= seats <= SEATS_MAX:
            why = f"it is from 1 to {SEATS_MAX}"
            return Broken(line=number, reason=_wrong(word, feature, "count", why))
        if self._day is None:
            return Broken(line=number, reason="no line before it says which day it is")
        return Activity(
            line=number,
            at_ms=self._at_ms(clock),
            action=_ACTIONS[word],
            feature=feature,
            user=user,
            host=host,
            seats=seats,
            reason=_impersonal(reasons[0], user, host) if reasons else None,
        )

    def _at_ms(self, clock: time) -> int:
        moment = datetime.combine(cast("date", self._day), clock, tzinfo=self._zone)
        return int(moment.timestamp()) * 1000


def _groups(text: str) -> tuple[str, list[str]]:
    """Split off the last groups in parentheses, at most two: a reason holds some of its own."""
    groups: list[str] = []
    while text.endswith(")") and len(groups) < _GROUPS_MAX:
        opens = _opens(text)
        if opens < 1 or not text[opens - 1].isspace():
            break
        groups.insert(0, text[opens + 1 : -1])
        text = text[:opens].rstrip()
    return text, groups


def _opens(text: str) -> int:
    """Where the parenthesis opens that the text's last character closes; -1: nowhere."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == ")") - (text[at] == "(")
        if depth == 0:
            return at
    return -1


def _wrong(word: str, feature: str, name: str, why: str) -> str:
    """Tell what is wrong: the feature too, if it is one; whoever asked is nobody's business."""
    shown = "" if name == "feature" or "@" in feature else f' "{feature}"'
    return f"{word}{shown}, {name}: {why}"


def _impersonal(reason: str, user: str, host: str) -> str | None:
    """Return the server's word, unless it names somebody: it is kept and shown unsealed."""
    named = "|".join(map(re.escape, (user, host)))
    if "@" in reason or re.search(rf"(?<!\w)(?:{named})(?!\w)", reason, re.IGNORECASE):
        return None
    return reason[:_REASON_CHARACTERS_MAX]


def _back_by(clock: time, last: time | None) -> timedelta:
    return timedelta() if last is None else _since_midnight(last) - _since_midnight(clock)


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)


def _day_said(rest: str) -> date | None:
    """Return the day that a start line or a TIMESTAMP line names."""
    named = _TIMESTAMP.match(rest) or _STARTED.search(rest)
    if named is not None:
        return _day(int(named[3]), int(named[1]), int(named[2]))
    slog = _SLOG.search(rest)
    if slog is not None and (at := _MONTHS.find(slog[1])) % 3 == 0:
        return _day(int(slog[3]), at // 3 + 1, int(slog[2]))
    return None


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day) if year in _YEARS else None
    except ValueError:
        return None
