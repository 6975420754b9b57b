"""What one fault did to checks and activations, counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from tests.faults.truth import WRONG, Check, Judged


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the checks sent while a fault lasted; times in milliseconds.

    `unavailable_owed`: 503 although the right answer rests on nothing that may be missing.
    """

    checks: int
    fresh: int
    stale: int
    unavailable: int
    unavailable_owed: int
    wrong: int
    unanswered: int
    over: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    oldest_ms: int
    sources: dict[str, int]
    activations: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Figures, and what is looked at more closely.

    `out_of_moment`: not answered at a time when nothing was being broken or mended.
    """

    figures: Figures
    out_of_moment: list[tuple[Judged, Check]]

    @property
    def checks(self) -> int:
        """How many were sent."""
        return self.figures.checks

    @property
    def not_answered(self) -> int:
        """How many were left without what they were owed."""
        return self.figures.unanswered + self.figures.unavailable_owed


def count(
    judged: Sequence[tuple[Judged, Check]],
    *,
    began: float,
    ended: float,
    tries: Mapping[str, int],
    moments: Sequence[float],
    moment_s: float,
) -> Counts:
    """Count what was sent from `began` to `ended`; `out_of_moment` is of all."""
    here = [(each, check) for each, check in judged if began <= check.sent < ended]
    kinds = Counter(each for each, _ in here)
    late = sorted(check.late_ms for _, check in here) or [0.0]
    figures = Figures(
        checks=len(here),
        fresh=kinds[Judged.FRESH],
        stale=kinds[Judged.STALE],
        unavailable=kinds[Judged.UNAVAILABLE],
        unavailable_owed=sum(_unmet(each, check) for each, check in here)
        - kinds[Judged.UNANSWERED],
        wrong=sum(kinds[each] for each in WRONG),
        unanswered=kinds[Judged.UNANSWERED],
        over=sum(check.over for _, check in here),
        p50_ms=_quantile(late, 0.5),
        p99_ms=_quantile(late, 0.99),
        p999_ms=_quantile(late, 0.999),
        most_ms=late[-1],
        oldest_ms=max((check.said.age_ms for _, check in here if check.said), default=0),
        sources=dict(Counter(check.said.source for _, check in here if check.said)),
        activations={
            outcome: tries.get(f"activation {outcome}", 0)
            for outcome in ("granted", "503", "unknown", "refused")
        },
    )
    unmet = [(each, check) for each, check in judged if _unmet(each, check)]
    return Counts(
        figures=figures,
        out_of_moment=[
            (each, check)
            for each, check in unmet
            if not any(moment - 1 <= check.sent <= moment + moment_s for moment in moments)
        ],
    )


def _unmet(judged: Judged, check: Check) -> bool:
    """Whether a check was left without what it was owed."""
    return judged is Judged.UNANSWERED or (judged is Judged.UNAVAILABLE and check.owed)


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
