"""Checks by key and fingerprint, served from Redis: how many, how late, and many in one request."""

from __future__ import annotations

from orjson import dumps

from bench.figures import Row, alone, compare
from bench.load import load
from bench.naive import Naive
from bench.open_loop import Latencies, open_loop
from bench.system import Bench
from tests.system import TOKEN

PATH = "/v1/licenses/actions/validate-key"
MANY = "/v1/licenses/actions/validate-many"
BATCH = 100
CONNECTIONS = 16
"""Of batches: a worker has eight of them at work."""
OPEN_LOOP_S = 5.0
OK = 200


def check_vs_hello(bench: Bench) -> Row:
    """Checks a second of one worker, beside hellos a second of the same server."""
    bodies = _bodies(bench.licenses)
    slowest: list[float] = []

    def ours() -> float:
        got = load(bench.url, PATH, bodies, expect=OK)
        slowest.append(got.p99_ms)
        return got.per_s

    return compare(
        "check_vs_hello",
        ours=ours,
        baseline=lambda: load(bench.hello.url, PATH, bodies, expect=OK).per_s,
        unit="requests/s",
        bar="≥ 0.55",
        note=lambda: f"p99 {max(slowest):.1f} ms at full load",
    )


def check_vs_naive(bench: Bench, naive: Naive) -> Row:
    """Checks a second of one worker, beside those of the naive service on Postgres."""
    bodies, naive_bodies = _bodies(bench.licenses), _bodies(naive.licenses)
    return compare(
        "check_vs_naive",
        ours=lambda: load(bench.url, PATH, bodies, expect=OK).per_s,
        baseline=lambda: load(naive.url, PATH, naive_bodies, expect=OK).per_s,
        unit="requests/s",
        bar="≥ 4",
    )


def check_p99_ms(bench: Bench) -> Row:
    """p99 of checks that come at a fixed rate: half of the peak, measured just before.

    The note has that of hellos at the same rate: what of it is the machine's and the client's.
    """
    bodies = _bodies(bench.licenses)
    got: list[tuple[float, Latencies, Latencies]] = []

    def ours() -> float:
        half = load(bench.url, PATH, bodies, expect=OK).per_s / 2
        took, hello = (
            open_loop(url, PATH, bodies, expect=OK, per_s=half, seconds=OPEN_LOOP_S)
            for url in (bench.url, bench.hello.url)
        )
        got.append((half, took, hello))
        return took.p99_ms

    def note() -> str:
        half, took, _ = got[-1]
        unanswered = sum(each.unanswered for _, each, _ in got)
        hellos = ", ".join(f"{hello.p99_ms:.1f}" for _, _, hello in got)
        return (
            f"hello's p99 at the same rates {hellos} ms; "
            f"at {half:,.0f} checks/s p50 {took.p50_ms:.1f} ms, {unanswered} unanswered"
        )

    return alone("check_p99_ms", ours=ours, unit="ms", bar="≤ 10", note=note)


def batch_vs_single(bench: Bench) -> Row:
    """Keys a second, 100 in a request, beside single checks a second; both by key alone."""
    single = [dumps({"meta": {"key": key}}).decode() for _, key in bench.licenses]
    scoped = _batches(bench, scoped=True)
    with_fingerprints: list[float] = []

    def note() -> str:
        return f"with a fingerprint each {max(with_fingerprints):,.0f} keys/s"

    def ours() -> float:
        keys_per_s = _keys_per_s(bench, _batches(bench, scoped=False))
        with_fingerprints.append(_keys_per_s(bench, scoped))
        return keys_per_s

    return compare(
        "batch_vs_single",
        ours=ours,
        baseline=lambda: load(bench.url, PATH, single, expect=OK).per_s,
        unit="keys/s",
        bar="≥ 5 (decision 31)",
        note=note,
    )


def _keys_per_s(bench: Bench, bodies: list[str]) -> float:
    got = load(bench.url, MANY, bodies, expect=OK, token=TOKEN, connections=CONNECTIONS)
    return got.per_s * BATCH


def _batches(bench: Bench, *, scoped: bool) -> list[str]:
    """Bodies of 100 keys each, which begin at other licenses."""
    checks = [
        {"key": key, **({"scope": {"fingerprint": f"first of {id_}"}} if scoped else {})}
        for id_, key in bench.licenses
    ]
    turns = (checks[start:] + checks[:start] for start in range(0, len(checks), 10))
    return [dumps({"meta": {"checks": turn[:BATCH]}}).decode() for turn in turns]


def _bodies(licenses: list[tuple[str, str]]) -> list[str]:
    """Bodies of checks, each for a machine that its license has."""
    return [
        dumps({"meta": {"key": key, "scope": {"fingerprint": f"first of {id_}"}}}).decode()
        for id_, key in licenses
    ]
