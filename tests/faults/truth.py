"""The oracle: what a check had to answer. Pure.

The truth about a license is a story: states by the offset from which on they held, each with the
moment at which it was acknowledged. An answer names the position that it was made from, so it is
right where its code is what the state at that position says, and

- an answer that rests on something not being there is wrong where it was made from a state older
  than what was acknowledged, of that license, before the check was sent: that "no" is invented;
- an answer whose age says that the ledger's end was known at a moment, though it lacks what was
  acknowledged before that moment, is wrong, too: its age is measured by a wrong clock.

Moments are the asking process' monotonic clock, in seconds; expiry is by its wall clock, in
milliseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

FRESH_MS: Final = 1_000
EXPIRY_SLACK_MS: Final = 1_000
"""The wall clocks of one machine agree; what is told of a moment may be told a little later."""
AGE_SLACK_MS: Final = 250
"""For rounding, and for clocks that are carried from one look to the next."""
ABSENT: Final = frozenset({"NOT_FOUND", "NO_MACHINES", "FINGERPRINT_SCOPE_MISMATCH"})
"""Codes that rest on something not being there."""


class Judged(StrEnum):
    """What became of a check."""

    FRESH = "fresh"
    STALE = "stale"
    UNAVAILABLE = "503"
    UNANSWERED = "unanswered"
    WRONG_DENIAL = "wrong denial"
    WRONG_APPROVAL = "wrong approval"
    WRONG_AGE = "wrong age"


WRONG: Final = frozenset({Judged.WRONG_DENIAL, Judged.WRONG_APPROVAL, Judged.WRONG_AGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A license as a check sees it. `live`: it was issued, and not revoked since."""

    live: bool = True
    suspended: bool = False
    machines: frozenset[str] = frozenset()
    expiry_ms: int | None = None


NEVER: Final = State(live=False)


def code(state: State, fingerprint: str | None, now_ms: float) -> str:
    """Code of a check at a moment, by the license's contract."""
    if not state.live:
        return "NOT_FOUND"
    if state.suspended:
        return "SUSPENDED"
    if fingerprint is not None and fingerprint not in state.machines:
        return "FINGERPRINT_SCOPE_MISMATCH" if state.machines else "NO_MACHINES"
    if state.expiry_ms is not None and now_ms >= state.expiry_ms:
        return "EXPIRED"
    return "VALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A state that held from an offset on.

    `begun`: when it was asked for first; `written`: when it was known to be in the log, where that
    was sooner than `at`, when its verdict was acknowledged.
    """

    offset: int
    state: State
    at: float
    begun: float = 0.0
    written: float = float("inf")


@dataclass(slots=True, kw_only=True)
class Story:
    """All that is known of one license.

    `unsettled`: a change whose outcome nobody has told yet, with the moment of its first try.
    """

    partition: int
    changes: list[Change] = field(default_factory=list)
    unsettled: tuple[float, State] | None = None

    def note(self, change: Change) -> None:
        """Take what was acknowledged: of one license, always the next."""
        assert not self.changes or self.changes[-1].offset < change.offset, "acknowledged twice"
        self.changes.append(change)

    @property
    def last(self) -> State:
        """State that was acknowledged last."""
        return self.changes[-1].state if self.changes else NEVER

    def at(self, offset: int) -> State:
        """State at a position."""
        place = bisect_right(self.changes, offset, key=lambda change: change.offset)
        return self.changes[place - 1].state if place else NEVER

    def floor(self, moment: float) -> int:
        """Offset of what was acknowledged last before a moment; -1: nothing."""
        offsets = [change.offset for change in self.changes if change.at < moment]
        return offsets[-1] if offsets else -1

    def possible(self, offset: int, answered: float) -> list[State]:
        """States that may have held at a position, as far as anybody knew when it was told."""
        states = [self.at(offset)]
        if self.unsettled is not None and self.unsettled[0] <= answered:
            # Nobody knows where it is, if it is anywhere; it is after all that was acknowledged.
            states.append(self.unsettled[1])
        return states


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an answer said."""

    code: str
    valid: bool
    partition: int
    offset: int
    age_ms: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check: of what, when it was sent first and answered, and what was said.

    `said` None: 503 where `unavailable`, else no answer at all. `late_ms`: from the moment when it
    was due to its answer. `over`: it was asked at another worker, since a connection broke.
    """

    story: Story
    fingerprint: str | None
    sent: float
    sent_ms: float
    answered: float
    late_ms: float
    said: Said | None = None
    unavailable: bool = False
    over: bool = False
    worker: int = 0

    @property
    def answered_ms(self) -> float:
        """Wall clock when it was answered."""
        return self.sent_ms + (self.answered - self.sent) * 1000

    @property
    def owed(self) -> bool:
        """Whether 503 is no good answer: the right one rests on nothing that may be missing."""
        states = [self.story.at(self.story.floor(self.sent))]
        if self.story.unsettled is not None:
            states.append(self.story.unsettled[1])
        later = [
            change.state
            for change in self.story.changes
            if change.at >= self.sent and change.begun <= self.answered
        ]
        told = {code(state, self.fingerprint, self.answered_ms) for state in (*states, *later)}
        return not told & ABSENT


class Acknowledged:
    """When the ledger's events were known to be in the log, by partition. `of` every story."""

    def __init__(self, changes: Iterable[tuple[int, Change]]) -> None:
        by_partition: dict[int, list[Change]] = {}
        for partition, change in changes:
            by_partition.setdefault(partition, []).append(change)
        self._offsets: dict[int, list[int]] = {}
        self._soonest: dict[int, list[float]] = {}
        for partition, found in by_partition.items():
            found.sort(key=lambda change: change.offset)
            soonest = [float("inf")] * len(found)
            earliest = float("inf")
            for place in range(len(found) - 1, -1, -1):
                earliest = min(earliest, found[place].at, found[place].written)
                soonest[place] = earliest
            self._offsets[partition] = [change.offset for change in found]
            self._soonest[partition] = soonest

    def lacking_since(self, partition: int, offset: int) -> float:
        """Moment since which a state at this position lacks something; infinite: it lacks none."""
        offsets = self._offsets.get(partition, [])
        place = bisect_right(offsets, offset)
        return self._soonest[partition][place] if place < len(offsets) else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standstill:
    """A time in which nothing became level: who answers then is at least so old.

    `sources`: of whom that is so.
    """

    since: float
    until: float
    sources: Sequence[str]

    def holds(self, check: Check, said: Said) -> bool:
        """Whether an answer fell into it."""
        within = self.since <= check.sent and check.answered <= self.until
        return within and said.source in self.sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges checks. `began`: all that answers was level after that moment.

    `calm`: times without a fault, in which nobody is older than `calm_ms`.
    """

    acknowledged: Acknowledged
    began: float
    standstills: Sequence[Standstill] = ()
    calm: Sequence[tuple[float, float]] = ()
    calm_ms: float = 10_000

    def __call__(self, check: Check) -> Judged:
        """Say what became of a check."""
        said = check.said
        if said is None:
            return Judged.UNAVAILABLE if check.unavailable else Judged.UNANSWERED
        wrong = Judged.WRONG_APPROVAL if said.valid else Judged.WRONG_DENIAL
        if said.valid != (said.code == "VALID") or said.partition != check.story.partition:
            return wrong
        if not self._code_is_right(check, said):
            return wrong
        if not self._age_is_right(check, said):
            return Judged.WRONG_AGE
        return Judged.FRESH if said.age_ms <= FRESH_MS else Judged.STALE

    def _code_is_right(self, check: Check, said: Said) -> bool:
        story = check.story
        possible = story.possible(said.offset, check.answered)
        if said.code not in self._codes(possible, check):
            return False
        floor = story.floor(check.sent)
        if said.code not in ABSENT or said.offset >= floor:
            return True
        # It was made from an older state than it should: true by chance, or invented?
        since = [
            change.state
            for change in story.changes
            if change.offset >= floor and change.begun <= check.answered
        ]
        return said.code in self._codes(since, check)

    def _codes(self, states: Iterable[State], check: Check) -> set[str]:
        moments = (check.sent_ms - EXPIRY_SLACK_MS, check.answered_ms + EXPIRY_SLACK_MS)
        return {code(state, check.fingerprint, moment) for state in states for moment in moments}

    def _age_is_right(self, check: Check, said: Said) -> bool:
        least_s = check.sent - self.acknowledged.lacking_since(said.partition, said.offset)
        for still in self.standstills:
            if still.holds(check, said):
                least_s = max(least_s, check.sent - still.since)
        most_ms = (check.answered - self.began) * 1000
        if any(since <= check.sent and check.answered <= until for since, until in self.calm):
            most_ms = min(most_ms, self.calm_ms)
        return least_s * 1000 - AGE_SLACK_MS <= said.age_ms <= most_ms + AGE_SLACK_MS
