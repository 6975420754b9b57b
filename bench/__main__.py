"""`make bench`: all figures, each beside its baseline in one run, as a table and as JSON.

python -m bench [ROW…]      only the rows of these ids
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.activations import (
    activation_100k_vs_1,
    activation_p50_vs_append,
    activation_vs_hello,
    activation_vs_naive,
)
from bench.checks import batch_vs_single, check_p99_ms, check_vs_hello, check_vs_naive
from bench.figures import Row, failed, machine, skipped
from bench.lists import list_first_100k, list_hundredth_vs_first_100k
from bench.live_fold import live_fold_digests, live_fold_vs_drain
from bench.load import has_wrk
from bench.memory import memory_vs_json
from bench.naive import Naive, naive
from bench.rebuild_rows import ROWS, rebuild_rows
from bench.system import LICENSES, Bench, bench
from bench.visible import visible_p99_ms
from cli.drill import postgres

WIDTH = 160
"""Columns where nobody looks at a terminal."""
RESULTS = Path(__file__).with_name("results.json")
OVER_HTTP: dict[str, Callable[[Bench], Row]] = {
    "check_vs_hello": check_vs_hello,
    "check_p99_ms": check_p99_ms,
    "batch_vs_single": batch_vs_single,
    "activation_p50_vs_append": activation_p50_vs_append,
    "activation_vs_hello": activation_vs_hello,
    "visible_p99_ms": visible_p99_ms,
    "activation_100k_vs_1": activation_100k_vs_1,
    "list_first_100k": list_first_100k,
    "list_hundredth_vs_first_100k": list_hundredth_vs_first_100k,
    "memory_vs_json": memory_vs_json,
}
BESIDE_NAIVE: dict[str, Callable[[Bench, Naive], Row]] = {
    "check_vs_naive": check_vs_naive,
    "activation_vs_naive": activation_vs_naive,
}
ALONE: dict[str, Callable[[], Row]] = {
    "live_fold_vs_drain": live_fold_vs_drain,
    "live_fold_digests": live_fold_digests,
}


def main(asked: list[str]) -> int:
    """Measure what is asked for, or everything; print and write the table."""
    there_are = [*OVER_HTTP, *BESIDE_NAIVE, *ALONE, *ROWS]
    unknown = set(asked) - set(there_are)
    if unknown:
        known = ", ".join(there_are)
        print(f"no row is called {min(unknown)}; there are {known}", file=sys.stderr)
        return 2
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    rows = []
    for id_, measure in ALONE.items():
        if not asked or id_ in asked:
            rows.append(_measured(console, id_, measure))
    rows += _of_a_rebuild(console, [id_ for id_ in ROWS if not asked or id_ in asked])
    rows += _over_http(console, [id_ for id_ in there_are if not asked or id_ in asked])
    console.print(_table(rows))
    document = {"machine": machine(), "rows": rows}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
    return int(any(row.note.startswith("FAILED") for row in rows))


def _measured(console: Console, id_: str, measure: Callable[[], Row]) -> Row:
    console.print(f"measuring {id_} …")
    try:
        return measure()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other rows are measured
        return failed(id_, error)


def _of_a_rebuild(console: Console, ids: list[str]) -> list[Row]:
    if not ids:
        return []
    console.print("measuring a rebuild …")
    try:
        return rebuild_rows(ids)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other rows are measured
        return [failed(id_, error) for id_ in ids]


def _over_http(console: Console, asked: list[str]) -> list[Row]:
    ids = [id_ for id_ in asked if id_ in OVER_HTTP]
    beside = [id_ for id_ in asked if id_ in BESIDE_NAIVE]
    if not ids and not beside:
        return []
    if not has_wrk():
        return [skipped(id_, "wrk is not installed (apt-get install wrk)") for id_ in ids + beside]
    rows = []
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder, bench(Path(folder)) as here:
        # These first, while its licenses have few machines: the others add many.
        rows += _beside_naive(console, here, beside)
        for id_ in ids:
            rows.append(_measured(console, id_, partial(OVER_HTTP[id_], here)))
    return rows


def _beside_naive(console: Console, here: Bench, ids: list[str]) -> list[Row]:
    if not ids:
        return []
    if postgres.programs() is None:
        return [skipped(id_, f"Postgres is not installed ({postgres.INSTALL})") for id_ in ids]
    with naive(here.system.directory, LICENSES) as other:
        return [_measured(console, id_, partial(BESIDE_NAIVE[id_], here, other)) for id_ in ids]


def _table(rows: list[Row]) -> Table:
    table = Table(title=f"bench on {machine()}", title_justify="left")
    for name in ("row", "ours", "baseline", "unit", "ratio", "least", "bar", "runs", "note"):
        table.add_column(name, justify="left" if name in {"row", "note", "bar"} else "right")
    for row in rows:
        note = row.note + (f" ({row.discarded} noisy rounds discarded)" if row.discarded else "")
        figures = [_figure(one) for one in (row.ours, row.baseline)]
        ratios = [_figure(one) for one in (row.ratio, row.ratio_min)]
        table.add_row(row.id, *figures, row.unit, *ratios, row.bar, str(row.runs), note)
    return table


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
