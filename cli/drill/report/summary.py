"""A drill's last words in a terminal: plain lines."""

from __future__ import annotations

from typing import Final

from cli.drill.outcome import Outcome, PhaseName, Side
from cli.drill.report.contents import Contents, Counted, activations, checks
from cli.drill.wording import NOTHING, milliseconds, of

_GAP: Final = "  "
_COLUMNS: Final = ("naive", "ledger") * 3
_ABOVE: Final = ("checks failed", "activations failed", "check p99, ms")


def summary_lines(outcome: Outcome) -> list[str]:
    """The verdict, the minutes lost, and what failed phase by phase; without control characters."""
    contents = Contents(outcome)
    lost = ", ".join(f"{side.name} {contents.lost(side)}" for side in contents.sides)
    reasons = [f"- {reason}" for reason in contents.reasons]
    skipped = [
        f"Skipped: {phase.title}: {phase.skipped}"
        for phase in contents.phases
        if phase.skipped is not None
    ]
    told = [contents.headline, *reasons, contents.holding, f"Launch-minutes lost: {lost}"]
    return [*told, "", *_table(contents), *(["", *skipped] if skipped else [])]


def _table(contents: Contents) -> list[str]:
    rows = [
        [phase.name.value, *(_SKIPPED if phase.skipped is not None else _row(contents, phase.name))]
        for phase in contents.phases
    ]
    rows = [["phase", *_COLUMNS], *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    # A pair of columns is as wide as what stands above it.
    for pair, above in enumerate(_ABOVE):
        left, right = 1 + 2 * pair, 2 + 2 * pair
        widths[right] += max(0, len(above) - widths[left] - len(_GAP) - widths[right])
    head = " " * widths[0]
    for pair, above in enumerate(_ABOVE):
        width = widths[1 + 2 * pair] + len(_GAP) + widths[2 + 2 * pair]
        head += _GAP + above.rjust(width)
    lines = [
        _GAP.join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [head, *lines]


_SKIPPED: Final = ("skipped", *[NOTHING] * 5)


def _row(contents: Contents, name: PhaseName) -> list[str]:
    naive, ledger = contents.sides
    return [
        *(_failed(contents, side, checks, name) for side in (naive, ledger)),
        *(_failed(contents, side, activations, name) for side in (naive, ledger)),
        *(_p99(contents, side, name) for side in (naive, ledger)),
    ]


def _failed(contents: Contents, side: Side, counted: Counted, name: PhaseName) -> str:
    return of(*contents.counted(side, counted, name))


def _p99(contents: Contents, side: Side, name: PhaseName) -> str:
    figures = contents.figures(side, name)
    return NOTHING if figures is None else milliseconds(figures.check_p99_ms)
