"""Requests counted by second and by phase. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from cli.drill.clients import FREE, Asked
from cli.drill.outcome import Figures, Phase, Second


def seconds(asked: Iterable[Asked], length_s: float) -> list[Second]:
    """Each second of the drill, also one in which nothing was sent."""
    counts = [Counter[str]() for _ in range(math.ceil(length_s))]
    for one in asked:
        at = int(one.at_s)
        if 0 <= at < len(counts):
            counts[at].update(_counted(one))
    return [Second(at_s=at, **count) for at, count in enumerate(counts)]


def _counted(one: Asked) -> dict[str, int]:
    if not one.launch:
        return {"activations": 1, "activated": int(one.ok)}
    free = one.client == FREE
    return {
        "launches": 1,
        "started": int(one.started),
        "free": int(free),
        "free_started": int(free and one.started),
        "checks_failed": int(not one.ok),
    }


def figures(asked: Sequence[Asked], phase: Phase) -> Figures:
    """What was sent in a phase."""
    sent = [one for one in asked if phase.from_s <= one.at_s < phase.to_s]
    launches = [one for one in sent if one.launch]
    activations = [one for one in sent if not one.launch]
    checked_ms = [one.took_ms for one in launches]
    activated_ms = [one.took_ms for one in activations]
    return Figures(
        phase=phase.name,
        checks=len(launches),
        checks_failed=sum(not one.ok for one in launches),
        activations=len(activations),
        activations_failed=sum(not one.ok for one in activations),
        launches=len(launches),
        started=sum(one.started for one in launches),
        check_p50_ms=_percentile(checked_ms, 0.5),
        check_p99_ms=_percentile(checked_ms, 0.99),
        activation_p50_ms=_percentile(activated_ms, 0.5),
        activation_p99_ms=_percentile(activated_ms, 0.99),
        answers=dict(Counter(one.answer for one in sent).most_common()),
    )


def _percentile(of: list[float], share: float) -> float | None:
    if not of:
        return None
    ordered = sorted(of)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 2)
