"""Figures: the thing and its baseline, run in turn on one machine, shown as a ratio.

Machines are shared and noisy, so no figure stands alone: each round measures baseline, ours,
baseline; a round whose two baselines differ by more than 20 % is discarded, and that is said.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from os import cpu_count
from statistics import median

from msgspec import Struct

BASELINE_DRIFT_MAX = 0.2
ROUNDS = 3
ROUNDS_MAX = 6


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table: medians of the kept rounds, and the ratio's minimum and median."""

    id: str
    ours: float | None
    baseline: float | None
    ratio: float | None
    unit: str
    runs: int
    ratio_min: float | None = None
    bar: str = ""
    discarded: int = 0
    note: str = ""


def compare(
    id_: str,
    *,
    ours: Callable[[], float],
    baseline: Callable[[], float],
    unit: str,
    bar: str,
    note: Callable[[], str] = str,
) -> Row:
    """Run both in turn until `ROUNDS` rounds are kept, or `ROUNDS_MAX` were run."""
    kept: list[tuple[float, float]] = []
    noisy: list[tuple[float, float]] = []
    before = baseline()
    for _ in range(ROUNDS_MAX):
        if len(kept) == ROUNDS:
            break
        figure = ours()
        after = baseline()
        drift = abs(after - before) / max(after, before)
        (kept if drift <= BASELINE_DRIFT_MAX else noisy).append((figure, (before + after) / 2))
        before = after
    rounds = kept or noisy
    ratios = [figure / base for figure, base in rounds]
    return Row(
        id=id_,
        ours=median(figure for figure, _ in rounds),
        baseline=median(base for _, base in rounds),
        ratio=median(ratios),
        ratio_min=min(ratios),
        unit=unit,
        runs=len(rounds),
        bar=bar,
        discarded=len(noisy) if kept else 0,
        note=(note() if kept else f"every round was noisy; {note()}").strip(),
    )


def alone(
    id_: str,
    *,
    ours: Callable[[], float],
    unit: str,
    bar: str,
    note: Callable[[], str] = str,
) -> Row:
    """Run `ROUNDS` times what has a bar of its own and no baseline."""
    figures = [ours() for _ in range(ROUNDS)]
    return Row(
        id=id_,
        ours=median(figures),
        baseline=None,
        ratio=None,
        unit=unit,
        runs=len(figures),
        bar=bar,
        note=f"{min(figures):.3g} to {max(figures):.3g}; {note()}".strip("; "),
    )


def skipped(id_: str, why: str) -> Row:
    """Row of something that this machine can't measure."""
    return Row(
        id=id_, ours=None, baseline=None, ratio=None, unit="", runs=0, note=f"SKIPPED: {why}"
    )


def failed(id_: str, why: Exception) -> Row:
    """Row of something that could not be measured this time."""
    note = f"FAILED: {type(why).__name__}: {why}"
    return Row(id=id_, ours=None, baseline=None, ratio=None, unit="", runs=0, note=note)


def machine() -> str:
    """What it ran on."""
    return (
        f"{platform.system()} {platform.machine()}, {cpu_count()} cores, "
        f"Python {platform.python_version()}"
    )
