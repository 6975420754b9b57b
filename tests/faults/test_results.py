"""The table: every row has a test, and what is shown, skipped or missing is told as such."""

from __future__ import annotations

from pathlib import Path

from tests.faults.counts import Figures
from tests.faults.results import Result, rendered
from tests.faults.rows import ROWS

FIGURES = Figures(
    checks=30_001,
    fresh=29_000,
    stale=900,
    unavailable=100,
    unavailable_owed=2,
    wrong=0,
    unanswered=1,
    over=17,
    p50_ms=1.25,
    p99_ms=9.5,
    p999_ms=150.0,
    most_ms=2_345.6,
    oldest_ms=4_200,
    sources={"REPLICA_B": 3, "LOCAL_COPY": 1},
    activations={"granted": 300, "503": 20, "unknown": 4, "refused": 0},
)


def test_every_row_has_its_test() -> None:
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert [row.id for row in ROWS if f'"{row.id}"' not in tests] == []
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_what_is_shown_skipped_and_missing() -> None:
    shown = Result(row="none", figures=FIGURES, recovery_s=3.14, load=2.4, note="a note")
    skipped = Result(row="packets-lost", skipped="no netem here")
    page = rendered({"none": shown, "packets-lost": skipped})
    assert "30,001 | 29,000 | 900 | 100 | 2 | 0 | 1 | 17 | 1.2 | 9.5 | 150 | 2,346 | 4.2" in page
    assert "B 75 %, copy 25 %" in page
    assert "| none | 300 | 20 | 4 | 0 | 3.1 | 2 | a note |" in page
    assert "SKIPPED: no netem here" in page
    missing = [line for line in page.split("\n") if line.endswith("or it failed |")]
    assert len(missing) == len(ROWS) - 2
