"""Our own form of activity: CSV with a header, one thing that happened a row.

    time,feature,action,user,host,seats
    2022-06-09T08:25:38Z,MATLAB,checkout,user-0001,host-0001,1

`time` is RFC 3339 with an offset; `action` is checkout, return or denied; `seats` may be empty.
"""

from __future__ import annotations

import csv
import re
from typing import Final, cast

from ledger.domain.clocks import from_rfc3339
from ledger.domain.terms import SEATS_MAX, TIME_MS_MAX
from ledger.sources.activity import Action, Activity, Broken, Parsed, wrong_name
from ledger.sources.lines import LINE_BYTES_MAX, text_of

FORM: Final = "csv"
COLUMNS: Final = ("time", "feature", "action", "user", "host", "seats")
_ACTIONS: Final = ("checkout", "return", "denied")
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\dT[0-2]\d:[0-5]\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-][0-2]\d:[0-5]\d)", re.ASCII
)


class CsvParser:
    """Parser of one file, line by line in order; a field holds no line break."""

    def __call__(self, number: int, raw: bytes) -> Parsed:
        """Read line `number`; never raises. The header is about nothing."""
        if len(raw) > LINE_BYTES_MAX:
            return Broken(line=number, reason=f"the line has over {LINE_BYTES_MAX} bytes")
        text = text_of(raw).removeprefix("\ufeff")
        try:
            fields = next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            return Broken(line=number, reason=f"it is no CSV: {error}")
        if not fields or (number == 1 and tuple(fields) == COLUMNS):
            return None
        if number == 1:
            return Broken(line=1, reason=f"the header is {','.join(COLUMNS)}")
        return _row(number, fields)


def _row(number: int, fields: list[str]) -> Activity | Broken:
    if len(fields) != len(COLUMNS):
        reason = f"a row has {len(COLUMNS)} columns, this one {len(fields)}"
        return Broken(line=number, reason=reason)
    row = dict(zip(COLUMNS, fields, strict=True))
    wrong = _wrong(row)
    if wrong is not None:
        return Broken(line=number, reason=wrong)
    return Activity(
        line=number,
        at_ms=from_rfc3339(row["time"]),
        action=cast("Action", row["action"]),
        feature=row["feature"],
        user=row["user"],
        host=row["host"],
        seats=int(row["seats"] or 1),
    )


def _wrong(row: dict[str, str]) -> str | None:
    """Return what is wrong with a row: column, value (unless it is personal) and reason."""
    if (why := _wrong_time(row["time"])) is not None:
        return f"column time, {row['time'][:40]!r}: {why}"
    if row["action"] not in _ACTIONS:
        return f"column action, {row['action'][:40]!r}: it is one of {', '.join(_ACTIONS)}"
    if (wrong := wrong_name(row["feature"], row["user"], row["host"])) is not None:
        return f"column {wrong[0]}: {wrong[1]}"
    seats = row["seats"] or "1"
    if not (seats.isascii() and seats.isdigit() and len(seats) <= 10) or not (  # noqa: PLR2004
        1 <= int(seats) <= SEATS_MAX
    ):
        return f"column seats, {seats[:40]!r}: it is a whole number from 1 to {SEATS_MAX}"
    return None


def _wrong_time(text: str) -> str | None:
    try:
        time_ms = from_rfc3339(text) if _RFC3339.fullmatch(text) else None
    except (ValueError, OverflowError):
        time_ms = None
    if time_ms is None:
        return "it is RFC 3339 with an offset"
    return None if 0 <= time_ms <= TIME_MS_MAX else "it is from 1970 to 9999"
