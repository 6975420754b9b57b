"""Activity: what another license server's log says happened, whatever its form.

A form's parser turns each line into an activity, a `Broken` line or nothing. Users and hosts are
personal: they never stand in a message.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ledger.domain.terms import SEATS_MAX

NAME_BYTES_MAX: Final = {"feature": 256, "user": 240, "host": 255}
"""In UTF-8; a machine's name, made of user, host and number, is a fingerprint of ≤ 512 bytes."""

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

Action = Literal["checkout", "return", "denied", "unsupported"]


class Activity(Struct, frozen=True, kw_only=True):
    """One thing that happened: `line` is its 1-based number, `at_ms` when, on the calendar."""

    line: int
    at_ms: int
    action: Action
    feature: str
    user: str
    host: str
    seats: Annotated[int, Meta(ge=1, le=SEATS_MAX)] = 1
    reason: str | None = None

    def __repr__(self) -> str:
        """Tell what may be told: no user, no host."""
        what = f"{self.action!r}, feature={self.feature!r}, seats={self.seats}"
        return f"Activity(line={self.line}, at_ms={self.at_ms}, action={what})"


class Broken(Struct, frozen=True, kw_only=True):
    """A line that should say something and can't be read; `reason` names no user and no host."""

    line: int
    reason: str


Parsed = Activity | Broken | None
Parser = Callable[[int, bytes], Parsed]
"""Reads line number and raw bytes, in order; None for a line that is about something else."""


class Move(Struct, frozen=True, kw_only=True):
    """What an activity asks of the ledger: `machine` is a fingerprint, one a concurrent checkout.

    `machine` None: a denial, which takes nothing.
    """

    activity: Activity
    machine: str | None

    def __repr__(self) -> str:
        """Tell what may be told: no machine, which is named for user and host."""
        return f"Move(activity={self.activity!r})"


def wrong_name(feature: str, user: str, host: str) -> tuple[str, str] | None:
    """Return which of the names can't be one, and why; None if all can. Shows no value."""
    for name, value in (("feature", feature), ("user", user), ("host", host)):
        if not 1 <= len(value.encode()) <= NAME_BYTES_MAX[name]:
            return name, f"it has 1 to {NAME_BYTES_MAX[name]} bytes"
        if _CONTROL.search(value) or value.isspace():
            return name, "it has text only"
        if '"' in value:
            return name, "it has no quotation mark"
    if "@" in host or any(character.isspace() for character in host):
        return "host", "it has no space and no @"
    return None


class Pairing:
    """Gives each concurrent checkout its own machine, and each return the oldest one's.

    The nth checkout that a user at a host holds of a feature is the machine `user@host#n`, with
    the lowest number that is free. So the names follow from the log alone, and no machine is
    named twice while it is held, whatever the ledger grants.
    """

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str, str], _Holder] = {}
        self.unmatched = 0
        """Returns of which the log has no checkout; they move nothing."""

    def move(self, activity: Activity) -> Move | None:
        """Return what the activity asks for; None for an unmatched return and what takes nothing.

        UNSUPPORTED lines are a client's question for something the server never had: no denial.
        """
        if activity.action == "unsupported":
            return None
        if activity.action == "denied":
            return Move(activity=activity, machine=None)
        number = self._number(activity)
        if number is None:
            self.unmatched += 1
            return None
        return Move(activity=activity, machine=f"{activity.user}@{activity.host}#{number}")

    def _number(self, activity: Activity) -> int | None:
        """Number of the checkout that begins or ends; None where none is there to end."""
        key = (activity.feature, activity.user, activity.host)
        if activity.action == "checkout":
            return self._holders.setdefault(key, _Holder()).take(activity.seats)
        holder = self._holders.get(key)
        if holder is None:
            return None
        number = holder.give_back(activity.seats)
        if not holder.held:
            del self._holders[key]
        return number


class _Holder:
    """Checkouts that a user at a host holds of a feature, oldest first: (number, seats)."""

    __slots__ = ("_freed", "held")

    def __init__(self) -> None:
        self.held: deque[tuple[int, int]] = deque()
        self._freed: list[int] = []  # a heap; with those held, all numbers from 1 up

    def take(self, seats: int) -> int:
        number = heappop(self._freed) if self._freed else len(self.held) + 1
        self.held.append((number, seats))
        return number

    def give_back(self, seats: int) -> int:
        """End the oldest checkout of as many seats; of no such there is, the oldest."""
        at = next((at for at, one in enumerate(self.held) if one[1] == seats), 0)
        number = self.held[at][0]
        del self.held[at]
        heappush(self._freed, number)
        return number


class FeatureTally(Struct, kw_only=True):
    """What happened to one feature: counts, and the seats at most and in the end.

    `never_granted`: returns of checkouts that were refused.
    """

    checkouts: int = 0
    refused: int = 0
    never_granted: int = 0
    denied: int = 0
    peak: int = 0
    left: int = 0


class Tally:
    """Counts seats straight from the moves, with no ledger involved.

    `seats`: features with fewer seats than were asked for; a checkout above is refused.
    """

    def __init__(self, seats: dict[str, int] | None = None) -> None:
        self.features: dict[str, FeatureTally] = {}
        self._seats = seats or {}
        self._taken: dict[tuple[str, str], int] = {}

    def count(self, move: Move) -> None:
        """Count one move."""
        activity = move.activity
        tally = self.features.setdefault(activity.feature, FeatureTally())
        if move.machine is None:
            tally.denied += 1
        elif activity.action == "return":
            self._give_back(tally, activity, move.machine)
        else:
            self._take(tally, activity, move.machine)

    def _give_back(self, tally: FeatureTally, activity: Activity, machine: str) -> None:
        seats = self._taken.pop((activity.feature, machine), None)
        if seats is None:
            tally.never_granted += 1
        else:
            tally.left -= seats

    def _take(self, tally: FeatureTally, activity: Activity, machine: str) -> None:
        limit = self._seats.get(activity.feature)
        if limit is not None and tally.left + activity.seats > limit:
            tally.refused += 1
            return
        tally.checkouts += 1
        tally.left += activity.seats
        tally.peak = max(tally.peak, tally.left)
        self._taken[activity.feature, machine] = activity.seats
