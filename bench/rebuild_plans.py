"""Rows of a rebuild's plan beside what then happens: three shapes of a ledger, no load."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

from msgspec import convert
from redis import Redis

from bench.figures import Row
from bench.history import Shape, Size, write
from bench.rebuild_rows import compared
from bench.rebuilds import Asked, fill, in_a_system, ledger_rebuild, plan_errors
from projector.rebuild.built import Built
from projector.rebuild.plan import Plan
from tests.system import System

EVENTS: Final = 100_000
LICENSES: Final[dict[Shape, int]] = {
    "many-small": 12_000,
    "few-huge": 200,
    "long-histories": 200,
}
WHAT: Final = {
    "licenses": ("licenses", "licenses"),
    "keys": ("keys", "keys"),
    "memory": ("redis_mb", "MiB"),
    "time": ("seconds", "s"),
}
PLAN_ROWS: Final = {
    f"rebuild_plan_{shape.replace('-', '_')}_{what}": (shape, what)
    for shape in LICENSES
    for what in WHAT
}


def plan_rows(shape: Shape, ids: list[str]) -> list[Row]:
    """Plan and build a ledger of this shape, and make these rows of it."""
    found = planned(shape)
    rows = []
    for id_ in ids:
        figure, unit = WHAT[PLAN_ROWS[id_][1]]
        one = found[figure]
        rows.append(compared(id_, one["foreseen"], one["measured"], unit=unit, bar="0.8 to 1.2"))
    return rows


def planned(shape: Shape) -> dict[str, Any]:
    """Foreseen and measured of a rebuild."""
    return in_a_system(lambda system: _planned(system, shape), workers=0)


async def _planned(system: System, shape: Shape) -> dict[str, Any]:
    size = Size(
        shape=shape, licenses=LICENSES[shape], events=EVENTS, until_ms=time.time_ns() // 1_000_000
    )
    await write(system.env, size, processes=os.cpu_count() or 1)
    await fill(system, 0, builders=os.cpu_count() or 1)
    projector = system.projectors[0]
    await asyncio.to_thread(projector.start)
    asked = Asked(licenses=size.licenses, events=size.events, shape=shape)
    foreseen = convert(await ledger_rebuild(system, asked, "plan"), Plan)
    with Redis.from_url(system.replicas[0].url) as client:
        before = client.info()["used_memory"]
        built = convert(await ledger_rebuild(system, asked, "start"), Built)
        grown = client.info()["used_memory"] - before
    flipped = convert(await ledger_rebuild(system, asked, "flip"), Built)
    return plan_errors(foreseen, built, flipped, grown, licenses=size.licenses)
