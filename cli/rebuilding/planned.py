"""What a rebuild will need, and afterwards how that was beside what it took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from cli import output
from cli.rebuilding.bar import span
from projector.capacity.wording import size
from projector.rebuild.built import Built
from projector.rebuild.plan import Plan


def print_plan(plan: Plan, replica: str) -> None:
    """Print what a rebuild will need, and go or no-go."""
    told = plan.foreseen
    parts = {
        "folding": told.folding_s,
        "writing": told.writing_s,
        "reading back": told.reading_back_s,
        "all else": told.else_s,
    }
    output.print_facts(
        {
            "replica": replica,
            "generation": f"{plan.generation}, beside {plan.previous} which serves",
            "events to read": f"{plan.events:,}",
            "licenses": f"{plan.licenses:,}",
            "keys": f"{plan.keys:,}",
            "Redis memory": f"{size(plan.redis_bytes)} more; {_room(plan)}",
            "append-only file": _file(plan),
            "builders": f"{plan.builders}, each up to {size(plan.builder_bytes)}",
            "time": f"{span(round(told.total_s))}: "
            + ", ".join(f"{name} {span(round(each))}" for name, each in parts.items()),
            "what serves": _effect(plan),
            "go": "yes" if not plan.reasons else "NO",
        }
    )
    for reason in plan.reasons:
        output.remark(f"no-go: {reason}")


def _room(plan: Plan) -> str:
    free = plan.redis_free_bytes
    fork = f"up to {size(plan.fork_bytes)} beside while its file is rewritten"
    if free is None:
        return f"no maxmemory is set; {fork}"
    return (
        f"{size(max(0, free))} free until maxmemory, {size(plan.reserve_bytes)} of it kept for "
        f"what serves; {fork}"
    )


def _file(plan: Plan) -> str:
    if not plan.disk_bytes:
        return "none"
    free = plan.disk_free_bytes
    there = "what is free can't be seen from here" if free is None else f"{size(free)} free"
    most = size(plan.disk_bytes)
    return f"{size(plan.file_bytes)} more, up to {most} while it is rewritten; {there}"


def _effect(plan: Plan) -> str:
    effect = plan.effect
    return (
        f"{effect.lag_ms} ms old now, {effect.lag_building_ms} ms with builders at work; its Redis "
        f"answers in {effect.ping_ms} ms, {effect.ping_building_ms} ms with them. They hold still "
        f"while it is older than {plan.lag_limit_ms} ms"
    )


def beside_the_plan(built: Built) -> Mapping[str, str]:
    """Say what was foreseen of what a rebuild took; nothing where it was begun by another run."""
    told = built.foreseen
    if told is None or not built.keys:
        return {}
    facts = [f"{told.keys:,} keys (it has {built.keys:,})"]
    if built.grown_bytes is not None:
        facts.append(f"{size(told.bytes)} (it took {size(max(0, built.grown_bytes))})")
        facts.append(
            f"{span(round(told.total_s))} (it took {span(round(sum(built.seconds.values())))})"
        )
    return {"foreseen": ", ".join(facts)}


def way_back(built: Built, replica: str) -> Mapping[str, str]:
    """Say until when there is a way back, and which."""
    if not built.until_ms:
        return {}
    if not built.window_s:
        return {
            "way back": f"none: the window was 0, so generation {built.previous} is being deleted"
        }
    until = datetime.fromtimestamp(built.until_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    of = "" if replica.upper() == "A" else f" --replica {replica.upper()}"
    return {
        "way back": f"until {until}: `ledger rebuild undo{of}`; then generation {built.previous} "
        "is deleted"
    }
