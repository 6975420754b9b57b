"""check_vs_hello: a check by key and fingerprint, served from Redis, 64 connections."""

from __future__ import annotations

from orjson import dumps

from bench.figures import Row, compare
from bench.load import load
from bench.system import Bench

PATH = "/v1/licenses/actions/validate-key"
OK = 200


def check_vs_hello(bench: Bench) -> Row:
    """Checks a second of one worker, beside hellos a second of the same server."""
    bodies = [
        dumps({"meta": {"key": key, "scope": {"fingerprint": f"first of {id_}"}}}).decode()
        for id_, key in bench.licenses
    ]
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
