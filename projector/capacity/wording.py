"""Pure: what is said of a store, to people who read it in an alarm or in a terminal."""

from __future__ import annotations

from projector.capacity.forecast import Outlook, Store, outlook

_STEP = 1024


def told(store: Store) -> str:
    """Say in one line how a store is."""
    of = "" if store.size is None else f" of {size(store.size)}"
    room = "" if store.room is None else f"{size(store.room)}{of} left, "
    return f"{store.name}: {room}full {when(outlook(store))}"


def when(found: Outlook) -> str:
    """Say when it will be full: a range in round numbers, or why that can't be said."""
    if found.unknown:
        return f"unknown: {found.unknown}"
    if found.earliest is None:
        return f"not in sight (not within {days(found.not_within or 0.0)})"
    if found.earliest == 0.0:
        return "now"
    earliest = days(found.earliest)
    if found.latest is None:
        return f"in {earliest}, or later"
    latest = days(found.latest)
    if earliest == latest:
        return f"in about {earliest}"
    number, _, unit = earliest.partition(" ")
    return f"in {number if latest.endswith(unit) else earliest} to {latest}"


def days(count: float) -> str:
    """Two digits of it at most, in hours below two days and in years above two."""
    for unit, one in (("year", 365.0), ("day", 1.0), ("hour", 1 / 24)):
        value = _rounded(count / one)
        if count >= 2 * one or unit == "hour":
            return f"{value} {unit}" if value == 1 else f"{value} {unit}s"
    raise AssertionError(count)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < _STEP:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _STEP
    return f"{count:.1f} TiB"


def _rounded(value: float) -> int:
    return int(round(value, min(0, 2 - len(str(int(value))))))
