"""Times of a license that follow from others: when it expires, when its next check-in is due."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from ledger.domain.state import License
from ledger.domain.terms import TIME_MS_MAX, ExpirationBasis, Terms, expiry_ms, seat_limit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}
_YEAR_MAX: Final = 9999


def settled(license_: License) -> License:
    """The live license with the expiry and the limit that follow from its terms."""
    terms = in_force(license_)
    started_ms = license_.started_ms
    expiry = expiry_ms(terms, license_.own, license_.issued_ms, started_ms)
    if license_.endless and license_.own.expiry_ms is None:
        expiry = None
    return replace(license_, expiry_ms=expiry, limit=seat_limit(terms, license_.own))


def begun(license_: License, basis: ExpirationBasis, now_ms: int) -> License:
    """The license after what `basis` names happened: the first time its duration begins."""
    terms = license_.terms
    if terms is None or terms.expiration_basis != basis or license_.started_ms is not None:
        return license_
    return settled(replace(license_, started_ms=now_ms))


def in_force(license_: License) -> Terms:
    """The terms of a live license."""
    assert license_.terms is not None  # noqa: S101 - a live license was issued with terms
    return license_.terms


def checking_in(before: Terms | None, license_: License, now_ms: int) -> License:
    """The license with new terms: where they begin to require check-ins, the time runs from now."""
    if not in_force(license_).require_check_in or (before and before.require_check_in):
        return license_
    return replace(license_, last_check_in_ms=now_ms)


def next_check_in_ms(license_: License) -> int | None:
    """When the next check-in is due; None: none is required.

    Months and years are the calendar's in UTC; a day that a month doesn't have is its last.
    """
    terms, last_ms = license_.terms, license_.last_check_in_ms
    if terms is None or not terms.require_check_in or last_ms is None:
        return None
    interval, count = terms.check_in_interval, terms.check_in_interval_count
    if interval is None:
        return None
    if interval in _DAYS:
        return min(last_ms + _DAYS[interval] * count * _DAY_MS, TIME_MS_MAX)
    return _months_later(last_ms, _MONTHS[interval] * count)


def _months_later(time_ms: int, months: int) -> int:
    days, in_day_ms = divmod(time_ms, _DAY_MS)
    moment = _EPOCH + timedelta(days=days)
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    if year > _YEAR_MAX:
        return TIME_MS_MAX
    day = min(moment.day, monthrange(year, month + 1)[1])
    later = moment.replace(year=year, month=month + 1, day=day)
    return (later - _EPOCH).days * _DAY_MS + in_day_ms
