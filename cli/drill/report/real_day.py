"""5 November 2019 as it was, beside what a drill made of it and measured; pure.

The times are UTC, and the facts are what the vendor and its customers said of that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cli.drill.outcome import PhaseName, Side
from cli.drill.report.contents import Contents, PhaseEntry, activations, checks
from cli.drill.wording import NOTHING, of, share, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What happened then; `phases`: where a drill does it again; `here`: what it does instead."""

    at: str
    text: str
    phases: tuple[PhaseName, ...] = ()
    here: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What became of both sides, in one phase or in what `here` names."""

    phase: PhaseEntry | None
    naive: str
    ledger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One row: the real day, and here."""

    at: str
    text: str
    here: str
    measured: list[Measured]


REAL_DAY: Final = (
    Fact(
        at="before 08:00",
        text="The second of the two largest tables is reindexed. The new index takes more than "
        "140 GB.",
        phases=(PhaseName.REINDEX,),
        here="A table is reindexed, a far smaller one.",
    ),
    Fact(
        at="about 08:00",
        text="The disk is full, and the database is locked.",
        phases=(PhaseName.DISK_FULL, PhaseName.CLEANUP),
    ),
    Fact(
        at="08:00 to 08:50",
        text="Every check and every activation is answered with an error. No product starts, "
        "paid or free.",
        phases=(PhaseName.LOCK,),
    ),
    Fact(
        at="08:20",
        text="The first word to the public.",
        here="Not re-enacted: what is drilled is the service, not the people.",
    ),
    Fact(
        at="09:38, 10:20, 11:00",
        text="Three times an end is promised; the first two pass, and each is taken back only "
        "minutes after it has.",
        here="Not re-enacted: here the end is known. What the drill adds are two ways in which a "
        "database is gone and doesn't say for how long.",
        phases=(PhaseName.HANG, PhaseName.DEATH),
    ),
    Fact(
        at="until 11:00",
        text="The management console and the login of the support's site are down as well.",
        here="Not re-enacted: the drill checks and activates, nothing else.",
    ),
    Fact(
        at="11:00",
        text="The database is back, and everybody comes back at once; free products start again.",
        phases=(PhaseName.RETURN, PhaseName.AFTERWARDS),
    ),
)
_BEFORE_NEUTRALIZED: Final = 4
"""Facts before 08:50, whose row has figures of its own."""
_DOWN: Final = (
    PhaseName.DISK_FULL,
    PhaseName.CLEANUP,
    PhaseName.LOCK,
    PhaseName.HANG,
    PhaseName.DEATH,
)
"""The phases that stand for 08:00 to 11:00."""


def beside(contents: Contents) -> list[Beside]:
    """The real day row by row, with what was measured here."""
    rows = [_beside(fact, contents) for fact in REAL_DAY]
    own = [_neutralized(contents), _never_activated(contents)]
    return [*rows[:_BEFORE_NEUTRALIZED], *own, *rows[_BEFORE_NEUTRALIZED:]]


def _beside(fact: Fact, contents: Contents) -> Beside:
    measured = [
        Measured(
            phase=phase,
            naive=_failed(contents, contents.naive, phase.name),
            ledger=_failed(contents, contents.ledger, phase.name),
        )
        for phase in contents.phases
        if phase.name in fact.phases
    ]
    return Beside(at=fact.at, text=fact.text, here=fact.here, measured=measured)


def _failed(contents: Contents, side: Side, name: PhaseName) -> str:
    failed = [contents.counted(side, kind, name) for kind in (checks, activations)]
    if not any(sent for _, sent in failed):
        return NOTHING
    return f"failed {of(*failed[0])} checks, {of(*failed[1])} activations"


def _neutralized(contents: Contents) -> Beside:
    within = contents.outcome.neutralized
    here, measured = "Nobody neutralized anything in this drill.", []
    if within is not None:
        here = (
            f"Neutralized by hand at {span(*within)}, on the naive side only. Launches meanwhile:"
        )
        naive, ledger = (_started(side, within) for side in contents.sides)
        measured = [Measured(phase=None, naive=naive, ledger=ledger)]
    return Beside(
        at="08:50",
        text="Checks are neutralized by hand: paid products start again. Free ones need a check "
        "that succeeds, and stay dead until 11:00.",
        here=here,
        measured=measured,
    )


def _started(side: Side, within: tuple[float, float]) -> str:
    """Launches in whole seconds of a span."""
    seconds = [one for one in side.seconds if within[0] <= one.at_s and one.at_s + 1 <= within[1]]
    launches, started = (
        sum(one.launches for one in seconds),
        sum(one.started for one in seconds),
    )
    free, free_started = sum(one.free for one in seconds), sum(one.free_started for one in seconds)
    paid = _good(started - free_started, launches - free, "paid ones started")
    return f"{paid}, {_good(free_started, free, 'free ones')}"


def _never_activated(contents: Contents) -> Beside:
    down = [phase for phase in contents.phases if phase.name in _DOWN and phase.skipped is None]
    names = [phase.name for phase in down]
    told = [
        _good(sent - failed, sent, "succeeded")
        for side in contents.sides
        for failed, sent in [contents.counted(side, activations, *names) if names else (0, 0)]
    ]
    return Beside(
        at="08:00 to 11:00",
        text="No license can be activated, of whatever kind.",
        here=f"Activations in the phases {', '.join(phase.letter for phase in down)}:",
        measured=[Measured(phase=None, naive=told[0], ledger=told[1])],
    )


def _good(good: int, tried: int, what: str) -> str:
    return f"{of(good, tried)} {what} ({share(good, tried)})" if tried else NOTHING
