"""Activity: what another license server's log says happened, whatever its form.

A form's parser turns each line into an activity, a `Broken` line or nothing. Users and hosts are
personal: they never stand in a message.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ledger.domain.identifiers import Pepper
from ledger.domain.terms import SEATS_MAX

LINE_BYTES_MAX: Final = 16 * 1024
NAME_CHARACTERS_MAX: Final = 256
_SOURCE_DIGITS: Final = 32

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


class Pairing:
    """Gives each concurrent checkout its own machine, and each return the oldest one's.

    The nth checkout that a user at a host holds of a feature is the machine `user@host#n`, with
    the lowest number that is free. So the names follow from the log alone, and no machine is
    named twice while it is held, whatever the ledger grants.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], deque[int]] = {}
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
        holder = (activity.feature, activity.user, activity.host)
        held = self._held.setdefault(holder, deque())
        if activity.action == "checkout":
            number = _lowest_free(held)
            held.append(number)
        elif held:
            number = held.popleft()
        else:
            self.unmatched += 1
            return None
        return Move(activity=activity, machine=f"{activity.user}@{activity.host}#{number}")


class FeatureTally(Struct, kw_only=True):
    """What happened to one feature: counts, and the seats at most and in the end."""

    checkouts: int = 0
    refused: int = 0
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
            tally.left -= self._taken.pop((activity.feature, move.machine), 0)
        else:
            self._take(tally, activity, move.machine)

    def _take(self, tally: FeatureTally, activity: Activity, machine: str) -> None:
        limit = self._seats.get(activity.feature)
        if limit is not None and tally.left + activity.seats > limit:
            tally.refused += 1
            return
        tally.checkouts += 1
        tally.left += activity.seats
        tally.peak = max(tally.peak, tally.left)
        self._taken[activity.feature, machine] = activity.seats


class PrefixDigest:
    """Keyed digest of a log up to and including a line: tells a grown log from a changed one."""

    def __init__(self, pepper: Pepper) -> None:
        key = pepper.digest("ledger.prefix", size=32)
        self._state = hashlib.blake2b(key=key, digest_size=16)

    def add(self, raw: bytes) -> None:
        """Take the next line, its end of line in any form."""
        self._state.update(raw.rstrip(b"\r\n") + b"\n")

    @property
    def value(self) -> str:
        """Digest of all lines so far: 32 hex digits."""
        return self._state.hexdigest()


def source_of(form: str, head: list[bytes]) -> str:
    """Name of a source: its form and the digest of its head, up to its first event's line.

    A grown copy of a log has the same head, so it is the same source.
    """
    digest = hashlib.sha256(b"".join(raw.rstrip(b"\r\n") + b"\n" for raw in head))
    return f"{form}:{digest.hexdigest()[:_SOURCE_DIGITS]}"


def _lowest_free(held: deque[int]) -> int:
    number = 1
    while number in held:
        number += 1
    return number
