"""What the suite shows: a file a row in build/faults, rendered as one table when the run ends."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import pytest

from tests.faults.counts import Figures
from tests.faults.rows import NOT_YET, ROWS, Row
from tests.servers import CACHE, ROOT

BUILD: Final = ROOT / "build" / "faults"
TABLE: Final = Path(os.environ.get("FAULTS_TABLE") or ROOT / "build" / "faults.md")
"""`make faults` writes docs/faults.md; every other run leaves the checkout clean."""
KEEP: Final = bool(os.environ.get("FAULTS_KEEP"))
"""Whether a row that was no part of the run stays on the page as it stands there.

One row: `FAULTS_KEEP=1 FAULTS_TABLE=docs/faults.md FAULTS_CHECKS=30000 pytest FILE`.
"""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was shown, or why this machine can't show it.

    `at`: the day. `load`: how many processes wanted to run at its end, on average of a minute.
    """

    row: str
    at: str = ""
    figures: Figures | None = None
    recovery_s: float | None = None
    load: float = 0.0
    note: str = ""
    skipped: str = ""


def record(row: str, figures: Figures, recovery_s: float | None, note: str) -> None:
    """Keep what a row has shown."""
    _keep(
        Result(
            row=row,
            at=_today(),
            figures=figures,
            recovery_s=recovery_s,
            load=os.getloadavg()[0],
            note=note,
        )
    )


def skip(row: str, why: str) -> NoReturn:
    """Keep why this machine can't show a row, and skip its test."""
    _keep(Result(row=row, skipped=why))
    pytest.skip(why)


def _keep(result: Result) -> None:
    assert any(row.id == result.row for row in ROWS), result.row
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / f"{result.row}.json").write_bytes(msgspec.json.encode(result))


def write_table() -> None:
    """Render what the run has shown."""
    results = {}
    for file in BUILD.glob("*.json"):
        result = msgspec.json.decode(file.read_bytes(), type=Result)
        results[result.row] = result
    if results:
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        page = TABLE.read_text(encoding="utf-8") if KEEP and TABLE.exists() else ""
        TABLE.write_text(rendered(results, page), encoding="utf-8")


def rendered(results: dict[str, Result], page: str = "") -> str:
    """Text of docs/faults.md; of rows that were no part of the run, what `page` has of them."""
    kept = _kept(page, [row for row in ROWS if row.id not in results])
    head = Path(__file__).with_name("faults.md").read_text(encoding="utf-8")
    lines = [
        f"Run on {_machine()}, {_days(results, kept)}.",
        "",
        *_checks(results, kept),
        "",
        *_activations(results, kept),
        "",
        *_not_shown(results, kept),
    ]
    return head + "\n" + "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Kept:
    """Lines of an earlier page: by row, of each section."""

    days: tuple[str, ...] = ()
    checks: dict[str, str] = field(default_factory=dict)
    activations: dict[str, str] = field(default_factory=dict)
    not_shown: dict[str, str] = field(default_factory=dict)


def _kept(page: str, rows: list[Row]) -> _Kept:
    if not page:
        return _Kept()
    run, checks, activations, rest = re.split(
        r"^## ", page[page.index("\nRun on ") :], flags=re.MULTILINE
    )
    return _Kept(
        days=tuple(re.findall(r"\d{4}-\d\d-\d\d", run)),
        checks=_of_rows(checks, {row.id: f"| {row.fault} | {row.how} |" for row in rows}),
        activations=_of_rows(activations, {row.id: f"| {row.fault} |" for row in rows}),
        not_shown=_of_rows(rest, {row.id: f"| {row.fault}: {row.how} |" for row in rows}),
    )


def _of_rows(section: str, begins: dict[str, str]) -> dict[str, str]:
    lines = section.split("\n")
    found = {row: [one for one in lines if one.startswith(text)] for row, text in begins.items()}
    return {row: one[0] for row, one in found.items() if one}


def _checks(results: dict[str, Result], kept: _Kept) -> Iterator[str]:
    yield "## Checks while it lasted"
    yield ""
    yield (
        "| fault | made by | checks | fresh | stale | 503 | of them owed | wrong | unanswered "
        "| failed over | p50 ms | p99 | p99.9 | most | oldest s | answered by |"
    )
    yield "|---|---|" + "--:|" * 13 + "---|"
    for row in ROWS:
        result = results.get(row.id)
        if result is not None and result.figures is not None:
            yield _checks_line(row, result.figures)
        elif row.id in kept.checks:
            yield kept.checks[row.id]


def _checks_line(row: Row, it: Figures) -> str:
    counts = [it.checks, it.fresh, it.stale, it.unavailable, it.unavailable_owed]
    counts += [it.wrong, it.unanswered, it.over]
    late = (it.p50_ms, it.p99_ms, it.p999_ms, it.most_ms)
    by = ", ".join(f"{_SOURCES.get(name, name)} {part}" for name, part in _parts(it.sources))
    return (
        f"| {row.fault} | {row.how} | "
        + " | ".join(f"{each:,}" for each in counts)
        + " | "
        + " | ".join(f"{each:,.1f}" if each < 100 else f"{each:,.0f}" for each in late)
        + f" | {it.oldest_ms / 1000:,.1f} | {by} |"
    )


_SOURCES: Final = {"REPLICA_A": "A", "REPLICA_B": "B", "LOCAL_COPY": "copy"}


def _parts(sources: dict[str, int]) -> Iterator[tuple[str, str]]:
    total = sum(sources.values()) or 1
    for name, part in sorted(sources.items(), key=lambda each: -each[1]):
        yield name, f"{100 * part / total:.0f} %"


def _activations(results: dict[str, Result], kept: _Kept) -> Iterator[str]:
    yield "## Activations while it lasted, and the way back"
    yield ""
    yield "| fault | granted | 503 | unknown | refused | back to normal, s | load | |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|"
    for row in ROWS:
        result = results.get(row.id)
        if result is not None and result.figures is not None:
            it = result.figures
            tries = " | ".join(f"{it.activations[name]:,}" for name in it.activations)
            back = "" if result.recovery_s is None else f"{result.recovery_s:.1f}"
            yield f"| {row.fault} | {tries} | {back} | {result.load:.0f} | {result.note} |"
        elif row.id in kept.activations:
            yield kept.activations[row.id]


def _not_shown(results: dict[str, Result], kept: _Kept) -> Iterator[str]:
    yield "## Not shown"
    yield ""
    yield "| fault | why |"
    yield "|---|---|"
    for row in ROWS:
        result = results.get(row.id)
        if row.id in kept.not_shown:
            yield kept.not_shown[row.id]
        elif result is None and row.id not in kept.checks:
            yield f"| {row.fault}: {row.how} | it was no part of this run, or it failed |"
        elif result is not None and result.skipped:
            yield f"| {row.fault}: {row.how} | SKIPPED: {result.skipped} |"
    for fault, why in NOT_YET:
        yield f"| {fault} | {why} |"


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _days(results: dict[str, Result], kept: _Kept) -> str:
    days = sorted({*kept.days, *(result.at for result in results.values() if result.at)})
    return " to ".join([*days[:1], *days[1:][-1:]]) or _today()


def _machine() -> str:
    kafka = max((path.name for path in CACHE.glob("kafka-*")), default="Kafka")
    redis = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, timeout=10, check=False
    ).stdout.partition("v=")[2]
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {kafka.replace('-', ' ').capitalize()}, "
        f"Redis {redis.partition(' ')[0]}"
    )
