"""A big rebuild, measured: `python -m bench.rebuilds --licenses 50000 --events 500000`.

Writes a realistic log (bench.history), fills both replicas from it, and rebuilds replica A under
500 checks and 50 activations a second: flip, undo, flip, and what doesn't serve is deleted. Prints
whether every answer was right, what the plan foresaw and what happened, and how good the time left
was that people were shown; and, with nothing else at work, how fast builders are beside a bare
drain of the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from msgspec import convert, to_builtins
from redis import Redis

from bench.history import Shape, Size, write
from bench.history.history import History
from bench.live_fold import drained
from bench.under_load import UnderLoad
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from projector.read_model.keys import serving
from projector.rebuild import exchange
from projector.rebuild.builders import Builders
from projector.rebuild.built import Built
from projector.rebuild.plan import Plan
from projector.rebuild.progress import PROGRESS_KEY, Progress, read_progress
from projector.rebuild.reading_back import ReadingBack
from projector.rebuild.site import Site
from tests.servers import ROOT
from tests.system import System
from tests.vendor import Vendor

REDIS_MB: Final = 9_000
MEMORY_MB: Final = 4_000
LICENSES_UNDER_LOAD: Final = 50
FROM_SHARE: Final = 25.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How big a ledger is rebuilt, by how many builders; checks and activations a second."""

    licenses: int = 50_000
    events: int = 500_000
    shape: Shape = "mixed"
    checks: float = 500.0
    activations: float = 50.0
    builders: int = os.cpu_count() or 1


def main() -> None:
    """Measure, and print it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--licenses", type=int, default=Asked.licenses)
    parser.add_argument("--events", type=int, default=Asked.events)
    parser.add_argument("--shape", default=Asked.shape, choices=get_args(Shape))
    parser.add_argument("--checks", type=float, default=Asked.checks, help="a second")
    parser.add_argument("--activations", type=float, default=Asked.activations, help="a second")
    parser.add_argument("--builders", type=int, default=Asked.builders)
    print(json.dumps(measured(Asked(**vars(parser.parse_args()))), indent=2))


def measured(given: Asked) -> dict[str, Any]:
    """Measure a rebuild of a ledger of this size."""
    return in_a_system(lambda system: _measure(system, given), workers=1)


def in_a_system(
    measure: Callable[[System], Coroutine[Any, Any, dict[str, Any]]], *, workers: int
) -> dict[str, Any]:
    """Measure in a system of large replicas, of which brokers and Redis are started."""
    with tempfile.TemporaryDirectory(prefix="ledger-rebuild-") as folder:
        system = System(Path(folder), workers=workers)
        for replica in system.replicas:
            replica.max_memory_mb = REDIS_MB
        try:
            for server in (*system.brokers, *system.replicas):
                server.start()
            return asyncio.run(measure(system))
        finally:
            system.stop()


async def _measure(system: System, given: Asked) -> dict[str, Any]:
    size = Size(
        shape=given.shape,
        licenses=given.licenses,
        events=given.events,
        until_ms=time.time_ns() // 1_000_000,
    )
    history = await write(system.env, size, processes=2)
    system.ledger = history.whose.ledger
    say("the log is written")
    found: dict[str, Any] = {"shape": given.shape, **await _alone(system, given)}
    say("both replicas are filled")
    for program in (*system.projectors, *system.workers):
        program.start(wait=False)
    for program in (*system.projectors, *system.workers):
        await asyncio.to_thread(program.wait_ready, timeout_s=60)
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        on = [str((await vendor.issue(name="load"))["id"]) for _ in range(LICENSES_UNDER_LOAD)]
    return found | await _under_load(system, history, on, given)


async def _alone(system: System, given: Asked) -> dict[str, Any]:
    """Fill the replicas by builders: one for the first, all for the second; beside a drain."""
    found: dict[str, Any] = {
        "builders": given.builders,
        "drain_per_s": round(await drained(system)),
    }
    for name, replica, count in (("one_builder", 0, 1), ("all_builders", 1, given.builders)):
        total, built_s = await fill(system, replica, builders=count)
        found["events"] = total
        found[f"{name}_per_s"] = round(total / built_s)
        if name == "one_builder":
            read_s = await _read_back(system)
            found[f"{name}_verified_per_s"] = round(total / (built_s + read_s))
    found["drain_again_per_s"] = round(await drained(system))
    with Redis.from_url(system.replicas[0].url) as client:
        found["filled_mb"] = client.info()["used_memory"] >> 20
        found["filled_keys"] = client.dbsize()
    return found


async def fill(system: System, replica: int, *, builders: int) -> tuple[int, float]:
    """Fill a replica by builders, faster than a projector would; events, and seconds it took."""
    log = KafkaLog(system.settings.kafka)
    ends = await log.ends(Topic.LICENSE_EVENTS)
    await log.close()
    made = Builders(
        {**os.environ, **system.env, "PYTHONPATH": str(ROOT)},
        replica=replica,
        count=builders,
        memory_mb=MEMORY_MB,
        tell=lambda _: None,
    )
    began = time.monotonic()
    await made.build("1", sorted(ends.items(), key=lambda each: -each[1]))
    built_s = time.monotonic() - began
    with Redis.from_url(system.replicas[replica].url) as client:
        client.mset({serving(partition): "1" for partition in ends})
    return sum(ends.values()), built_s


async def _read_back(system: System) -> float:
    """Seconds of reading back what the first replica holds."""
    site = Site(system.settings, 0)
    began = time.monotonic()
    try:
        found = await ReadingBack(site.store, site.weigher, "1", site.places[:-1]).run()
    finally:
        await site.close()
    assert not any(one.trouble for one in found.values())
    return time.monotonic() - began


async def _under_load(
    system: System, history: History, on: list[str], given: Asked
) -> dict[str, Any]:
    site, moments = Site(system.settings, 0), list[tuple[float, Progress]]()
    load = UnderLoad(
        system.workers[0].port,
        history,
        on,
        checks=given.checks,
        activations=given.activations,
    )
    load.start()
    await asyncio.sleep(5)
    seeing = asyncio.create_task(_see(site, moments))
    try:
        foreseen = convert(await ledger_rebuild(system, given, "plan"), Plan)
        before = int((await site.store.info())["used_memory"])
        began = time.monotonic()
        built = convert(await ledger_rebuild(system, given, "start"), Built)
        proved_at = time.monotonic()
        grown = int((await site.store.info())["used_memory"]) - before
        seeing.cancel()
        flipped = convert(await ledger_rebuild(system, given, "flip"), Built)
        ended = time.monotonic()
        say("built, proved and flipped")
        intent = await site.store.intent()
        assert intent is not None
        back = time.monotonic()
        intent = await exchange.undo(site, intent, window_s=3_600)
        undone = time.monotonic()
        intent = await exchange.flip(site, intent, window_s=3_600)
        again = time.monotonic()
        checks, collecting = len(load.judged.check_ms), time.monotonic()
        async with site.alone():
            gone = await exchange.finish(site, intent)
        collected = time.monotonic()
        meanwhile = load.judged.check_ms[checks:]
        judged = await load.stop()
    finally:
        seeing.cancel()
        await site.close()
    return {
        "seconds": round(ended - began, 1),
        "foreseen_s": to_builtins(foreseen.foreseen),
        "by_phase": dict(built.seconds),
        "undo_s": round(undone - back, 2),
        "flip_again_s": round(again - undone, 2),
        "collect": {
            "keys": gone,
            "seconds": round(collected - collecting, 1),
            "checks": len(meanwhile),
            "check_p50_p99_max_ms": [
                judged.percentile(meanwhile, share) for share in (0.5, 0.99, 1.0)
            ],
        },
        "keys": built.keys,
        "grown_mb": grown >> 20,
        "proof": {"places": built.proof.compared, "documents": built.proof.documents},
        "plan": plan_errors(
            foreseen, built, flipped, grown, licenses=history.size.licenses + LICENSES_UNDER_LOAD
        ),
        "time_left_error": _left_error(moments, proved_at),
        "checks": judged.checks,
        "activations": judged.activations,
        "failed_or_wrong": judged.failed,
        "wrong": judged.wrong[:10],
        "codes": dict(judged.codes),
        "check_p50_p99_max_ms": [
            judged.percentile(judged.check_ms, share) for share in (0.5, 0.99, 1.0)
        ],
        "activation_p50_p99_ms": [
            judged.percentile(judged.activation_ms, share) for share in (0.5, 0.99)
        ],
        "lag_p99_ms": sorted(moment.lag_ms for _, moment in moments)[len(moments) * 99 // 100],
        "held": sum(moment.held for _, moment in moments),
    }


async def ledger_rebuild(system: System, given: Asked, command: str) -> object:
    """Run `ledger rebuild …` as a process of its own; what it prints as JSON."""
    sized = [] if command == "flip" else ["--builders", str(given.builders), "--memory-mb", "4000"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from cli.main import main; main()"),
        *("rebuild", command, "--json", *sized),
        env={**os.environ, **system.env, "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=DEVNULL,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return json.loads(printed)


async def _see(site: Site, moments: list[tuple[float, Progress]]) -> None:
    """What people are shown, each half second."""
    while True:
        await asyncio.sleep(0.5)
        [document] = await site.store.get([PROGRESS_KEY])
        if document is not None:
            moments.append((time.monotonic(), read_progress(document)))


def plan_errors(
    foreseen: Plan, built: Built, flipped: Built, grown: int, *, licenses: int
) -> dict[str, Any]:
    """Foreseen, measured, and by how much the one misses the other."""
    seconds = sum(built.seconds.values()) + sum(flipped.seconds.values())
    pairs = {
        "licenses": (foreseen.licenses, licenses),
        "keys": (foreseen.keys, built.keys),
        "redis_mb": (foreseen.redis_bytes >> 20, grown >> 20),
        "seconds": (round(foreseen.foreseen.total_s, 1), round(seconds, 1)),
    }
    return {
        name: {"foreseen": one, "measured": other, "error": round(one / max(other, 1) - 1, 3)}
        for name, (one, other) in pairs.items()
    }


def _left_error(moments: list[tuple[float, Progress]], ended: float) -> float | None:
    """Mean absolute error of the middle of the shown range, from a quarter on, of what was left."""
    errors = [
        abs(sum(moment.left_s) / 2 - (ended - at)) / (ended - at)
        for at, moment in moments
        if moment.left_s is not None and moment.percent >= FROM_SHARE and ended - at > 1
    ]
    return round(statistics.fmean(errors), 3) if errors else None


def say(text: str) -> None:
    """Tell what is done, and when."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    main()
