"""Rows of one rebuild: how fast builders are, and what people are told before and meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.figures import Row
from bench.rebuilds import Asked, measured

SIZE = Asked(licenses=10_000, events=150_000)


def rebuild_rows(ids: list[str]) -> list[Row]:
    """Rebuild once under load, and make these rows of it."""
    found = measured(SIZE)
    return [ROWS[id_](found) for id_ in ids]


def _vs_drain(found: dict[str, Any]) -> Row:
    drain = (found["drain_per_s"] + found["drain_again_per_s"]) / 2
    return compared(
        "rebuild_vs_drain",
        found["one_builder_verified_per_s"],
        drain,
        unit="events/s",
        bar="≥ 0.4",
        note=f"one builder, read back; unread {found['one_builder_per_s']:,}/s",
    )


def _two_vs_one(found: dict[str, Any]) -> Row:
    return compared(
        "rebuild_two_vs_one",
        found["all_builders_per_s"],
        found["one_builder_per_s"],
        unit="events/s",
        bar="≥ 1.2",
        note=f"{found['builders']} builders",
    )


def _plan(id_: str, what: str, unit: str) -> Callable[[dict[str, Any]], Row]:
    def row(found: dict[str, Any]) -> Row:
        one = found["plan"][what]
        return compared(id_, one["foreseen"], one["measured"], unit=unit, bar="0.8 to 1.2")

    return row


def _left(found: dict[str, Any]) -> Row:
    return Row(
        id="rebuild_left_error",
        ours=found["time_left_error"],
        baseline=None,
        ratio=None,
        unit="of what was left",
        runs=1,
        bar="≤ 0.25",
        note="mean absolute error of the middle, from 25 % on",
    )


def _wrong(found: dict[str, Any]) -> Row:
    return Row(
        id="rebuild_wrong_checks",
        ours=float(found["failed_or_wrong"]),
        baseline=None,
        ratio=None,
        unit=f"of {found['checks'] + found['activations']:,}",
        runs=1,
        bar="0",
        note="checks and activations meanwhile that failed or were answered wrong",
    )


def compared(id_: str, ours: float, baseline: float, *, unit: str, bar: str, note: str = "") -> Row:
    """Make a row of a figure and its baseline."""
    return Row(
        id=id_,
        ours=ours,
        baseline=baseline,
        ratio=ours / baseline if baseline else None,
        unit=unit,
        runs=1,
        bar=bar,
        note=note,
    )


ROWS: dict[str, Callable[[dict[str, Any]], Row]] = {
    "rebuild_vs_drain": _vs_drain,
    "rebuild_two_vs_one": _two_vs_one,
    "rebuild_plan_licenses": _plan("rebuild_plan_licenses", "licenses", "licenses"),
    "rebuild_plan_memory": _plan("rebuild_plan_memory", "redis_mb", "MB"),
    "rebuild_plan_time": _plan("rebuild_plan_time", "seconds", "s"),
    "rebuild_left_error": _left,
    "rebuild_wrong_checks": _wrong,
}
