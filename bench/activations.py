"""Activations over HTTP, request to verdict: beside an append, a hello, and a small license."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter

from aiokafka import AIOKafkaProducer
from orjson import dumps

from bench.figures import Row, compare
from bench.load import Load, load
from bench.system import Bench, activation_bodies
from tests.vendor import Vendor, machine_body

PATH = "/v1/machines"
CREATED = 201
OK = 200
APPENDS = 500
CROWD = 100_000


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
        baseline=lambda: load(bench.hello, PATH, bodies, expect=OK).per_s,
        unit="requests/s",
        bar="≥ 0.06, p99 ≤ 136 ms",
        note=lambda: f"p99 {max(slowest):.0f} ms",
    )


def activation_100k_vs_1(bench: Bench) -> Row:
    """p50 of activations on a license with 100,000 machines, beside one with few.

    The crowd comes through the API too, in its own pipelined calls.
    """
    small, crowded = asyncio.run(_crowd(bench))
    return compare(
        "activation_100k_vs_1",
        ours=lambda: _activate(bench, activation_bodies([crowded]), connections=1).p50_ms,
        baseline=lambda: _activate(bench, activation_bodies([small]), connections=1).p50_ms,
        unit="ms p50",
        bar="≤ 1.5",
    )


def _activate(bench: Bench, bodies: list[str], *, connections: int) -> Load:
    from tests.system import TOKEN

    return load(
        bench.url, PATH, bodies, expect=CREATED, token=TOKEN, connections=connections
    )


async def _append_p50_ms(bench: Bench) -> float:
    """Bare `send_and_wait` of an activation's bytes, to the same topic's broker, one at a time."""
    value = dumps({"type": "bench", "padding": "x" * 900})
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.system.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()
    try:
        took = []
        for number in range(APPENDS):
            started = perf_counter()
            await producer.send_and_wait(bench.baseline_topic, value, partition=number % 16)
            took.append((perf_counter() - started) * 1000)
    finally:
        await producer.stop()
    return median(took)


async def _crowd(bench: Bench) -> tuple[tuple[str, str], tuple[str, str]]:
    async with bench.system.client(timeout_s=60) as client:
        vendor = Vendor([client], bench.system.ledger)
        small, crowded = [await vendor.issue(name="crowd") for _ in range(2)]
        limit = asyncio.Semaphore(200)

        async def activate(number: int) -> None:
            async with limit:
                answer = await vendor.activate(crowded["id"], f"crowd-{number}")
                assert answer.status_code == CREATED, answer.text

        await asyncio.gather(*(activate(number) for number in range(CROWD)))
    return tuple((one["id"], one["attributes"]["key"]) for one in (small, crowded))  # type: ignore[return-value]
