"""Load over HTTP by wrk: a closed loop of some connections for some seconds, on loopback only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import time

from msgspec import Struct

SCRIPT = Path(__file__).with_name("wrk") / "requests.lua"
TIMEOUT_S = 60
NO_TOKEN = "-"  # noqa: S105 - says that there is none
_runs = count()


class LoadError(Exception):
    """wrk failed, or answers were not what the figure is about."""


class Load(Struct, frozen=True, kw_only=True):
    """What a load got: answers by status, rate, latencies in ms."""

    statuses: dict[int, int]
    per_s: float
    p50_ms: float
    p99_ms: float


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def load(
    url: str,
    path: str,
    bodies: Sequence[str],
    *,
    expect: int,
    token: str = NO_TOKEN,
    connections: int = 64,
    seconds: int = 3,
) -> Load:
    """POST `bodies` in turn, or GET where there are none.

    Raises `LoadError` where an answer has another status.
    "@N@" in a body becomes a number that no other request of any run has.
    """
    with NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(bodies))
        file.flush()
        run = f"{int(time())}.{next(_runs)}"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s"]
        command += ["-s", str(SCRIPT), url, "--", path, token, file.name, run]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    if done.returncode:
        raise LoadError(done.stderr[-500:] or done.stdout[-500:])
    return _read(done.stdout, expect)


def _read(output: str, expect: int) -> Load:
    figures: dict[str, int] = {}
    statuses: dict[int, int] = {}
    for line in output.splitlines():
        word, *numbers = line.split() if line.strip() else [""]
        if word == "status":
            statuses[int(numbers[0])] = statuses.get(int(numbers[0]), 0) + int(numbers[1])
        elif len(numbers) == 1 and numbers[0].lstrip("-").isdigit():
            figures[word] = int(numbers[0])
    if set(statuses) - {expect} or figures.get("errors", 1):
        msg = f"expected {expect} only, got {statuses} and {figures.get('errors')} errors"
        raise LoadError(msg)
    return Load(
        statuses=statuses,
        per_s=figures["requests"] / (figures["duration_us"] / 1e6),
        p50_ms=figures["p50_us"] / 1000,
        p99_ms=figures["p99_us"] / 1000,
    )
