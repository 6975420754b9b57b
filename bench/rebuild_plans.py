"""Rows of a rebuild's plan beside what then happens: three shapes of a ledger, no load."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from msgspec import convert
from redis import Redis

from bench.figures import Row
from bench.history import Shape, Size, write
from bench.rebuild_rows import compared
from bench.rebuilds import MEMORY_MB, REDIS_MB, Asked, ledger_rebuild, plan_errors
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from projector.read_model.keys import serving
from projector.rebuild.builders import Builders
from projector.rebuild.built import Built
from projector.rebuild.plan import Plan
from tests.servers import ROOT
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
    with tempfile.TemporaryDirectory(prefix="ledger-plan-") as folder:
        system = System(Path(folder), workers=0)
        for replica in system.replicas:
            replica.max_memory_mb = REDIS_MB
        try:
            return asyncio.run(_planned(system, shape))
        finally:
            system.stop()


async def _planned(system: System, shape: Shape) -> dict[str, Any]:
    for server in (*system.brokers, *system.replicas):
        server.start()
    size = Size(
        shape=shape, licenses=LICENSES[shape], events=EVENTS, until_ms=time.time_ns() // 1_000_000
    )
    await write(system.env, size, processes=os.cpu_count() or 1)
    await _fill(system)
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


async def _fill(system: System) -> None:
    """Fill the first replica by builders, which is faster than a projector."""
    log = KafkaLog(system.settings.kafka)
    ends = await log.ends(Topic.LICENSE_EVENTS)
    await log.close()
    builders = Builders(
        {**os.environ, **system.env, "PYTHONPATH": str(ROOT)},
        replica=0,
        count=os.cpu_count() or 1,
        memory_mb=MEMORY_MB,
        tell=lambda _: None,
    )
    await builders.build("1", sorted(ends.items(), key=lambda each: -each[1]))
    with Redis.from_url(system.replicas[0].url) as client:
        client.mset({serving(partition): "1" for partition in ends})
