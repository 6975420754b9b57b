"""What a report says of an outcome, figure by figure, before it is laid out; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase

from cli.drill.judging import PROVES_NOTHING, UNREADABLE, UNWRITABLE
from cli.drill.outcome import Figures, Outcome, PhaseName, Side, SideName
from cli.drill.wording import (
    WHILE,
    count,
    day,
    duration,
    minutes,
    number,
    printable,
    share,
    span,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntry:
    """A phase as it is named everywhere: by a letter and its title."""

    name: PhaseName
    letter: str
    title: str
    about: str
    span: str
    skipped: str | None


Counted = Callable[[Figures], tuple[int, int]]
"""How many failed, of how many."""


def checks(figures: Figures) -> tuple[int, int]:
    """Checks that failed."""
    return figures.checks_failed, figures.checks


def activations(figures: Figures) -> tuple[int, int]:
    """Activations that failed."""
    return figures.activations_failed, figures.activations


def launches(figures: Figures) -> tuple[int, int]:
    """Launches that did not start."""
    return figures.launches - figures.started, figures.launches


class Contents:
    """An outcome, ready to be laid out. All text in it is one line of printable letters."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.in_order = sorted(outcome.moments, key=lambda moment: moment.at_s)
        self.naive = outcome.side(SideName.NAIVE)
        self.ledger = outcome.side(SideName.LEDGER)
        self.phases = [
            PhaseEntry(
                name=phase.name,
                letter=letter,
                title=printable(phase.title),
                about=printable(phase.about),
                span=span(phase.from_s, phase.to_s),
                skipped=None if phase.skipped is None else printable(phase.skipped),
            )
            for phase, letter in zip(outcome.phases, ascii_uppercase, strict=False)
        ]
        self._figures = {
            side.name: {figures.phase: figures for figures in side.phases} for side in outcome.sides
        }

    @property
    def sides(self) -> tuple[Side, Side]:
        """The naive side, and the ledger."""
        return self.naive, self.ledger

    @property
    def when(self) -> str:
        """When the drill was, and how long it took."""
        return f"{day(self.outcome.began)}, {duration(self.outcome.took_s)}"

    def lost(self, side: Side) -> str:
        """Launch-minutes lost."""
        return minutes(side.lost_minutes)

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        verdict = self.outcome.verdict
        if not verdict.proves:
            return "This drill proves nothing" + (
                "." if verdict.held else ", and the ledger did not hold."
            )
        held = "held" if verdict.held else "did not hold"
        return f"The naive service went down as the vendor's did; the ledger {held}."

    @property
    def proof(self) -> str:
        """Whether the drill proves anything, and why."""
        if not self.outcome.verdict.proves:
            return self._unproved()
        skipped = {phase.name for phase in self.phases if phase.skipped is not None}
        unwritable = [name for name in UNWRITABLE if name not in skipped]
        told = [
            f"{share(*self.counted(self.naive, checks, name))} {WHILE[name]}" for name in UNREADABLE
        ]
        text = f"It proves something: of its checks the naive service failed {_listed(told)}"
        for name in unwritable:
            text += (
                f", and of its activations {share(*self.counted(self.naive, activations, name))} "
            )
            text += WHILE[name]
        return f"{text}."

    @property
    def holding(self) -> str:
        """Whether the ledger held, with its numbers."""
        told = []
        for kind, counted in (("checks", checks), ("activations", activations)):
            failed, sent = self.counted(self.ledger, counted)
            told.append(f"{count(failed)} of {count(sent)} {kind}")
        held = "held" if self.outcome.verdict.held else "did not hold"
        text = f"The ledger {held}: it failed {_listed(told)}."
        if self.outcome.verdict.held and not self.outcome.verdict.proves:
            text += " While the other side proves nothing, that proves nothing either."
        return text

    @property
    def reasons(self) -> list[str]:
        """What is missing, each as a sentence."""
        return [_sentence(printable(reason)) for reason in self.outcome.verdict.reasons]

    def moments(self) -> list[tuple[int, str, str]]:
        """What happened when: number, second, text."""
        return [
            (at, f"{number(round(moment.at_s, 1))} s", printable(moment.text))
            for at, moment in enumerate(self.in_order, 1)
        ]

    def facts(self) -> list[tuple[str, str]]:
        """Where and how it ran."""
        outcome, machine = self.outcome, self.outcome.machine
        waited = number(outcome.client_timeout_s)
        facts = [
            ("Machine", f"{machine.system}, {machine.cores} cores, {number(machine.memory_gb)} GB"),
            ("Kept apart", machine.separated),
            ("Small volume", outcome.tier),
            ("Launches", f"{number(outcome.launches_per_s)} a second on each side"),
            ("Activations", f"{number(outcome.activations_per_s)} a second on each side"),
            ("A client waits", f"{waited} s, then its request has failed"),
            ("Versions", ", ".join(f"{name} {is_at}" for name, is_at in outcome.versions.items())),
            ("Began, took", self.when),
        ]
        return [(name, printable(value)) for name, value in facts]

    def not_reproduced(self) -> list[str]:
        """What of the real day this drill doesn't show."""
        return [printable(text) for text in self.outcome.not_reproduced]

    def figures(self, side: Side, name: PhaseName) -> Figures | None:
        """What a side was sent in a phase, where it was sent anything at all."""
        return self._figures[side.name].get(name)

    def counted(self, side: Side, counted: Counted, *names: PhaseName) -> tuple[int, int]:
        """How many of a side failed in the phases named, or in all."""
        both = [counted(figures) for figures in side.phases if not names or figures.phase in names]
        return sum(failed for failed, _ in both), sum(sent for _, sent in both)

    def _unproved(self) -> str:
        missing = [
            printable(reason.removesuffix(PROVES_NOTHING))
            for reason in self.outcome.verdict.reasons
            if reason.endswith(PROVES_NOTHING)
        ]
        more = f", and {len(missing) - 1} more of that kind" if missing[1:] else ""
        return f"It proves nothing: {''.join(missing[:1])}{more}."


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else "".join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
