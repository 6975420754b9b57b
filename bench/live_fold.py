"""The live fold: a projector folding a log into its Redis, beside a drain, and without digests."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis import Redis

from bench.figures import Row, compare
from projector.read_model.keys import Keys
from projector.views.documents import read_head
from tests.activity import ACTIVATIONS, Activity, append
from tests.system import Program, System, running

EVENTS = 200_000
LICENSES = 20_000
PIECE = 20_000
EVENTS_TOPIC = "license-events"
FOLD_LIMIT_S = 120.0


WITHOUT_DIGESTS = """
from projector.views.digests import Weigher
Weigher.weigh = Weigher.weigh_command = Weigher.weigh_set_aside = lambda *_: 0
Weigher.weigh_license = lambda *_: (0, 0)
from projector.__main__ import main
raise SystemExit(main())
"""


def live_fold_vs_drain() -> Row:
    """Events a second of the running projector's process, once it is at work, to the log's end."""
    with _filled() as system:
        return compare(
            "live_fold_vs_drain",
            ours=lambda: _fold(system, system.projectors[0]),
            baseline=lambda: asyncio.run(drained(system)),
            unit="events/s",
            bar="≥ 0.15",
        )


def live_fold_digests() -> Row:
    """What of the live fold's rate is left with the digests that it keeps."""
    with _filled() as system:
        usual = system.projectors[0]
        without = _Without(
            system.directory / "without", "projector", port=usual.port, env=usual.env
        )
        return compare(
            "live_fold_digests",
            ours=lambda: _fold(system, usual),
            baseline=lambda: _fold(system, without),
            unit="events/s",
            bar="≥ 0.95",
            note=lambda: "the same projector without digests",
        )


class _Without(Program):
    """A projector that keeps no digests."""

    def _prepare(self) -> list[str]:
        return [sys.executable, "-c", WITHOUT_DIGESTS]


@contextmanager
def _filled() -> Iterator[System]:
    """A system whose log is full of activations, and nothing of it folded."""
    with (
        tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder,
        running(Path(folder), workers=0) as system,
    ):
        asyncio.run(_fill(system))
        for projector in system.projectors:
            projector.stop()
        yield system


async def _fill(system: System) -> None:
    activity = Activity(
        1,
        partitions=system.settings.partitions,
        licenses=LICENSES,
        machines=0,
        mix=ACTIVATIONS,
    )
    for _ in range(0, EVENTS, PIECE):
        await append(system.kafka.bootstrap, EVENTS_TOPIC, list(activity.appendables(PIECE)))


async def drained(system: System) -> float:
    """Read everything with aiokafka and decode it with orjson; events a second."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=system.kafka.bootstrap,
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        places = [TopicPartition(EVENTS_TOPIC, at) for at in range(system.settings.partitions)]
        total = left = sum(int(end) for end in (await consumer.end_offsets(places)).values())
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        started = perf_counter()
        while left:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                left -= len(batch)
                for record in batch:
                    orjson.loads(record.value)
        return total / (perf_counter() - started)
    finally:
        await consumer.stop()


def _fold(system: System, projector: Program) -> float:
    """Fold everything into an empty replica A; events a second from the first batch on."""
    store = system.replicas[0]
    store.stop()
    store.wipe()
    store.start()
    with Redis(port=store.port, socket_timeout=5) as client:
        projector.start(wait=False)
        try:
            begun = _wait(client, system, 1)
            started = perf_counter()
            done = _wait(client, system, EVENTS)
            return (done - begun) / (perf_counter() - started)
        finally:
            projector.stop()


def _wait(client: Redis, system: System, least: int) -> int:
    """Wait until so many events are folded; how many are."""
    names = [Keys(partition).head for partition in range(system.settings.partitions)]
    deadline = perf_counter() + FOLD_LIMIT_S
    while perf_counter() < deadline:
        heads = client.mget(names)
        assert isinstance(heads, list)
        folded = sum(read_head(head).position for head in heads if isinstance(head, bytes))
        if folded >= least + len(names):
            return folded
        sleep(0.01)
    msg = f"not {least} events folded in {FOLD_LIMIT_S:.0f} s"
    raise TimeoutError(msg)
