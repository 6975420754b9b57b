"""Activations over HTTP, request to verdict: beside an append, a hello, and a small license."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter, time_ns

from aiokafka import AIOKafkaProducer
from orjson import dumps

from bench.figures import Row, compare
from bench.load import Load, load
from bench.naive import Naive
from bench.system import Bench, activation_bodies
from ledger.domain import identifiers
from ledger.domain.events import ActivationRequested, Event
from ledger.event_log.codec import encode
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic
from tests.system import TOKEN
from tests.vendor import Vendor

PATH = "/v1/machines"
CREATED = 201
OK = 200
APPENDS = 500
CROWD = 100_000
AT_ONCE = 2_000
SEALED = f"{'0' * 16}.{'A' * 60}"
"""Stands in for sealed values, which no figure opens."""


def activation_p50_vs_append(bench: Bench) -> Row:
    """p50 of one client's activations, beside the p50 of bare appends of as many bytes."""
    bodies = activation_bodies(bench.licenses)
    return compare(
        "activation_p50_vs_append",
        ours=lambda: _activate(bench, bodies, connections=1).p50_ms,
        baseline=lambda: asyncio.run(_append_p50_ms(bench)),
        unit="ms p50",
        bar="≤ 5",
    )


def activation_vs_hello(bench: Bench) -> Row:
    """Activations a second of 64 clients to one worker, beside hellos a second."""
    bodies = activation_bodies(bench.licenses)
    slowest: list[float] = []

    def ours() -> float:
        got = _activate(bench, bodies, connections=64)
        slowest.append(got.p99_ms)
        return got.per_s

    return compare(
        "activation_vs_hello",
        ours=ours,
        baseline=lambda: load(bench.hello.url, PATH, bodies, expect=OK).per_s,
        unit="requests/s",
        bar="≥ 0.06, p99 ≤ 136 ms",
        note=lambda: f"p99 {max(slowest):.0f} ms",
    )


def activation_vs_naive(bench: Bench, naive: Naive) -> Row:
    """Activations a second of 64 clients, to the verdict, beside the naive service's."""
    bodies, naive_bodies = activation_bodies(bench.licenses), activation_bodies(naive.licenses)
    return compare(
        "activation_vs_naive",
        ours=lambda: _activate(bench, bodies, connections=64).per_s,
        baseline=lambda: load(naive.url, PATH, naive_bodies, expect=CREATED).per_s,
        unit="requests/s",
        bar="≥ 2",
    )


def activation_100k_vs_1(bench: Bench) -> Row:
    """p50 of activations on a license with 100,000 machines, beside one with a few.

    The crowd goes straight into the log; both projectors have folded it before the first figure.
    """
    small, crowded = asyncio.run(_small_and_crowded(bench))
    bench.system.wait_level()
    return compare(
        "activation_100k_vs_1",
        ours=lambda: _activate(bench, activation_bodies([crowded]), connections=1).p50_ms,
        baseline=lambda: _activate(bench, activation_bodies([small]), connections=1).p50_ms,
        unit="ms p50",
        bar="≤ 1.5",
    )


def _activate(bench: Bench, bodies: list[str], *, connections: int) -> Load:
    return load(bench.url, PATH, bodies, expect=CREATED, token=TOKEN, connections=connections)


async def _append_p50_ms(bench: Bench) -> float:
    """Bare `send_and_wait` of an activation's bytes, one at a time.

    Into the catalog's topic: kept like the licenses' events, and nobody folds it yet.
    """
    value = encode(activation(bench, bench.licenses[0][0], 0))
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.system.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        took = []
        for _ in range(APPENDS):
            started = perf_counter()
            await producer.send_and_wait(Topic.CATALOG_EVENTS, value, key=b"bench", partition=0)
            took.append((perf_counter() - started) * 1000)
    finally:
        await producer.stop()
    return median(took)


async def _small_and_crowded(bench: Bench) -> tuple[tuple[str, str], tuple[str, str]]:
    async with bench.system.client() as client:
        vendor = Vendor([client], bench.system.ledger)
        issued = [await vendor.issue(name="crowd") for _ in range(2)]
    small, crowded = [(str(one["id"]), str(one["attributes"]["key"])) for one in issued]
    log = KafkaLog(bench.system.kafka.bootstrap)
    partition = identifiers.partition_of(crowded[0], bench.system.settings.partitions)
    try:
        for first in range(0, CROWD, AT_ONCE):
            events = [activation(bench, crowded[0], first + at) for at in range(AT_ONCE)]
            await asyncio.gather(
                *(
                    log.append(
                        Topic.LICENSE_EVENTS,
                        partition,
                        key=event.license.encode(),
                        value=encode(event),
                    )
                    for event in events
                )
            )
    finally:
        await log.close()
    return small, crowded


def activation(bench: Bench, license_: str, number: int) -> Event:
    """Event of an activation; `number`: a later one of the same license has a higher one."""
    pepper = bench.system.settings.pepper
    account = identifiers.slug_id(bench.system.ledger, "account", "demo")
    return Event(
        id=identifiers.random_id(),
        source="bench",
        license=license_,
        time_ms=time_ns() // 1_000_000,
        actor="bench",
        content_digest=identifiers.content_digest(pepper, dumps(number)),
        sequence=number + 1,
        data=ActivationRequested(
            machine=identifiers.machine_id(pepper, license_, f"crowd-{number}"),
            fingerprint=SEALED,
            fingerprint_digest=identifiers.fingerprint_digest(pepper, account, f"crowd-{number}"),
        ),
    )
