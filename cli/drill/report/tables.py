"""The tables of a report: what failed, how long it took, what was answered; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cli.drill.outcome import Figures, PhaseName, Side
from cli.drill.report.contents import (
    Contents,
    Counted,
    PhaseEntry,
    activations,
    checks,
    launches,
)
from cli.drill.wording import NOTHING, count, milliseconds, of, printable, share


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


def failed_tables(contents: Contents) -> list[FailedTable]:
    """Checks, activations and launches that failed."""
    return [
        _failed_table(
            contents,
            "Checks that failed",
            "Anything but an answer in time to what was asked.",
            checks,
        ),
        _failed_table(
            contents,
            "Activations that failed",
            "A new machine that could not be added.",
            activations,
        ),
        _failed_table(
            contents,
            "Launches that failed",
            "A launch starts after a valid check; neutralized, paid ones start without.",
            launches,
        ),
    ]


def latency_tables(contents: Contents) -> list[LatencyTable]:
    """How long checks and activations took, in ms."""
    return [
        _latency_table(
            contents, "How long a check took, ms", lambda one: (one.check_p50_ms, one.check_p99_ms)
        ),
        _latency_table(
            contents,
            "How long an activation took, ms",
            lambda one: (one.activation_p50_ms, one.activation_p99_ms),
        ),
    ]


def answers(contents: Contents) -> list[AnswersRow]:
    """Answers by kind, phase by phase."""
    return [
        AnswersRow(
            phase=phase,
            naive=_answers(contents, contents.naive, phase.name),
            ledger=_answers(contents, contents.ledger, phase.name),
        )
        for phase in contents.phases
    ]


def _failed_table(contents: Contents, title: str, about: str, counted: Counted) -> FailedTable:
    def row(phase: PhaseEntry | None) -> FailedRow:
        names = () if phase is None else (phase.name,)
        naive, ledger = (
            _failed(*contents.counted(side, counted, *names)) for side in contents.sides
        )
        return FailedRow(phase=phase, naive=naive, ledger=ledger)

    return FailedTable(title=title, about=about, rows=[*map(row, contents.phases), row(None)])


def _latency_table(
    contents: Contents, title: str, taken: Callable[[Figures], tuple[float | None, float | None]]
) -> LatencyTable:
    def both(side: Side, name: PhaseName) -> tuple[str, str]:
        figures = contents.figures(side, name)
        if figures is None:
            return NOTHING, NOTHING
        p50, p99 = taken(figures)
        return milliseconds(p50), milliseconds(p99)

    rows = [
        LatencyRow(
            phase=phase,
            naive=both(contents.naive, phase.name),
            ledger=both(contents.ledger, phase.name),
        )
        for phase in contents.phases
    ]
    return LatencyTable(title=title, rows=rows)


def _answers(contents: Contents, side: Side, name: PhaseName) -> list[tuple[str, str]]:
    figures = contents.figures(side, name)
    answers = {} if figures is None else figures.answers
    ordered = sorted(answers.items(), key=lambda answer: (-answer[1], answer[0]))
    return [(printable(kind), count(times)) for kind, times in ordered if times]


def _failed(failed: int, sent: int) -> Failed:
    return Failed(text=of(failed, sent), share=share(failed, sent), any=failed > 0)
