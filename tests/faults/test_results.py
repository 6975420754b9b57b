"""The table: every row has a test, and what is shown, skipped or missing is told as such."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.counts import Figures
from tests.faults.results import Result, rendered
from tests.faults.rows import NOT_YET, ROWS
from tests.servers import ROOT

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


def test_a_row_that_was_no_part_of_the_run_may_stay_as_it_stands() -> None:
    shown = {row.id: Result(row=row.id, at="2031-01-02", figures=FIGURES) for row in ROWS}
    before = rendered({**shown, "packets-lost": Result(row="packets-lost", skipped="no netem")})
    again = Result(row="poison", at="2031-02-03", figures=FIGURES, note="a second time")
    after = rendered({"poison": again}, before)
    changed = {*after.split("\n")} ^ {*before.split("\n")}
    assert all("a poison event" in one or one.startswith("Run on ") for one in changed)
    assert "2031-01-02 to 2031-02-03." in after
    assert "a second time" in after


def test_the_page_names_every_row() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    rows = {row: (f"| {row.fault} | {row.how} |", f"| {row.fault}: {row.how} |") for row in ROWS}
    assert [row.id for row, begins in rows.items() if not any(map(page.__contains__, begins))] == []
    assert [fault for fault, why in NOT_YET if f"| {fault} | {why} |" not in page] == []
    for path in {one for _, why in NOT_YET for one in re.findall(r"tests/\S+\.py", why)}:
        assert (ROOT / path).exists(), path
