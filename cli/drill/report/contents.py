"""What a report says of an outcome, figure by figure, before it is laid out; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase

from cli.drill.judging import UNREADABLE, UNWRITABLE
from cli.drill.outcome import Figures, Outcome, PhaseName, Side, SideName
from cli.drill.wording import (
    NOTHING,
    WHILE,
    count,
    day,
    duration,
    milliseconds,
    minutes,
    number,
    of,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """How much failed: `31 of 120`, `26 %`, and whether any did."""

    text: str
    share: str
    any: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRow:
    """What failed on both sides in one phase; without a phase: in all of them."""

    phase: PhaseEntry | None
    naive: Failed
    ledger: Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedTable:
    """What failed of one kind of request, phase by phase."""

    title: str
    about: str
    rows: list[FailedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRow:
    """p50 and p99 of both sides, in ms."""

    phase: PhaseEntry
    naive: tuple[str, str]
    ledger: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """How long one kind of request took, phase by phase; the first row is before any fault."""

    title: str
    rows: list[LatencyRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersRow:
    """How often each side answered what in one phase, the most frequent first."""

    phase: PhaseEntry
    naive: list[tuple[str, str]]
    ledger: list[tuple[str, str]]


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
            return "It proves nothing: the naive service did not fail as the vendor's did."
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
        failed = [of(*self.counted(self.ledger, counted)) for counted in (checks, activations)]
        held = "held" if self.outcome.verdict.held else "did not hold"
        text = f"The ledger {held}: it failed {failed[0]} checks and {failed[1]} activations."
        if self.outcome.verdict.held and not self.outcome.verdict.proves:
            text += " While the other side proves nothing, that proves nothing either."
        return text

    @property
    def reasons(self) -> list[str]:
        """What is missing, each as a sentence."""
        return [_sentence(printable(reason)) for reason in self.outcome.verdict.reasons]

    def failed_tables(self) -> list[FailedTable]:
        """Checks, activations and launches that failed."""
        return [
            self._failed_table(
                "Checks that failed", "Anything but an answer in time to what was asked.", checks
            ),
            self._failed_table(
                "Activations that failed", "A new machine that could not be added.", activations
            ),
            self._failed_table(
                "Launches that failed",
                "A launch starts after a valid check; neutralized, paid ones start without.",
                launches,
            ),
        ]

    def latency_tables(self) -> list[LatencyTable]:
        """How long checks and activations took, in ms."""
        return [
            self._latency_table(
                "How long a check took, ms", lambda one: (one.check_p50_ms, one.check_p99_ms)
            ),
            self._latency_table(
                "How long an activation took, ms",
                lambda one: (one.activation_p50_ms, one.activation_p99_ms),
            ),
        ]

    def answers(self) -> list[AnswersRow]:
        """Answers by kind, phase by phase."""
        return [
            AnswersRow(
                phase=phase,
                naive=self._answers(self.naive, phase.name),
                ledger=self._answers(self.ledger, phase.name),
            )
            for phase in self.phases
        ]

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

    def _failed_table(self, title: str, about: str, counted: Counted) -> FailedTable:
        def row(phase: PhaseEntry | None) -> FailedRow:
            names = () if phase is None else (phase.name,)
            naive, ledger = (_failed(*self.counted(side, counted, *names)) for side in self.sides)
            return FailedRow(phase=phase, naive=naive, ledger=ledger)

        return FailedTable(title=title, about=about, rows=[*map(row, self.phases), row(None)])

    def _latency_table(
        self, title: str, taken: Callable[[Figures], tuple[float | None, float | None]]
    ) -> LatencyTable:
        def both(side: Side, name: PhaseName) -> tuple[str, str]:
            figures = self.figures(side, name)
            if figures is None:
                return NOTHING, NOTHING
            p50, p99 = taken(figures)
            return milliseconds(p50), milliseconds(p99)

        rows = [
            LatencyRow(
                phase=phase,
                naive=both(self.naive, phase.name),
                ledger=both(self.ledger, phase.name),
            )
            for phase in self.phases
        ]
        return LatencyTable(title=title, rows=rows)

    def _answers(self, side: Side, name: PhaseName) -> list[tuple[str, str]]:
        figures = self.figures(side, name)
        answers = {} if figures is None else figures.answers
        ordered = sorted(answers.items(), key=lambda answer: (-answer[1], answer[0]))
        return [(printable(kind), count(times)) for kind, times in ordered if times]


def _failed(failed: int, sent: int) -> Failed:
    return Failed(text=of(failed, sent), share=share(failed, sent), any=failed > 0)


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else "".join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
