"""Real activity, imported by the command: the ledger says what a plain count of the lines says."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT
from tests.system import System, running

LOGS = ROOT.parent / "shared" / "data" / "flexlm"
SAMPLE = ROOT / "examples" / "activity.csv"
ROW = re.compile(r"^\|(?: \w+ \|)? (\w+) \| ([\d,]+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
LEDGER = str(Path(sys.executable).with_name("ledger"))
TIMEOUT_S = 300

Table = dict[str, tuple[int, int, int]]


@pytest.fixture
def logs() -> Path:
    """The real logs; without them these tests skip aloud."""
    if not LOGS.is_dir():
        pytest.skip(f"the real logs are not at {LOGS}: their import was not tested")
    return LOGS


def command(system: System, form: str, *arguments: object) -> subprocess.Popen[str]:
    """Start `ledger import …` on the system."""
    kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    return subprocess.Popen(
        [LEDGER, "import", form, *map(str, arguments), "--json"],
        env={**kept, **system.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def imported(system: System, form: str, *arguments: object) -> list[dict[str, Any]]:
    """Import to the end; a document a file."""
    process = command(system, form, *arguments)
    said, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, complaint
    documents: list[dict[str, Any]] = json.loads(said)
    return documents


def table(document: dict[str, Any]) -> Table:
    """Checkouts, peak and left by feature."""
    return {
        one["feature"]: (one["checkouts"], one["peak"], one["left"]) for one in document["features"]
    }


def readme(path: Path) -> Table:
    """The table that a README has."""
    return {
        feature: (int(checkouts.replace(",", "")), int(peak), int(left))
        for feature, checkouts, peak, left in ROW.findall(path.read_text(encoding="utf-8"))
    }


def test_the_sample_gives_its_own_table(system: System) -> None:
    expected = readme(ROOT / "examples" / "README.md")
    assert len(expected) == 3
    (first,) = imported(system, "activity", SAMPLE)
    assert table(first) == expected
    assert [one["refused"] for one in first["features"]] == [0, 0, 0]
    (again,) = imported(system, "activity", SAMPLE)
    assert again == first


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_real_logs_give_the_table_of_their_readme(system: System, logs: Path) -> None:
    expected = readme(logs / "README.md")
    assert len(expected) == 6
    both = imported(
        system, "flexlm", logs / "matlab.log", logs / "autodesk.log", "--timezone", "Europe/Madrid"
    )
    said = table(both[0]) | table(both[1])
    assert {feature: said[feature] for feature in expected} == expected
    assert [len(one["features"]) for one in both] == [35, 18]
    assert [sum(row[0] for row in table(one).values()) for one in both] == [10_007, 8_402]
    assert {row["refused"] for one in both for row in one["features"]} == {0}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_real_log_with_300_seats(tmp_path: Path, logs: Path) -> None:
    with running(tmp_path, workers=0) as system:
        (document,) = imported(system, "flexlm", logs / "matlab.log", "--seats", "MATLAB=300")
        matlab = next(one for one in document["features"] if one["feature"] == "MATLAB")
        assert (matlab["refused"], matlab["peak"], matlab["left"]) == (19, 300, 28)
        assert matlab["checkouts"] == 6_345 - 19


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_half_a_log_then_the_whole_and_kills_in_between(tmp_path: Path, logs: Path) -> None:
    log = tmp_path / "matlab.log"
    lines = (logs / "matlab.log").read_bytes().splitlines(keepends=True)
    expected = {
        feature: row
        for feature, row in readme(logs / "README.md").items()
        if not feature.endswith("F")
    }
    assert len(expected) == 3
    rng = random.Random(5)
    with running(tmp_path / "system", workers=0) as system:
        log.write_bytes(b"".join(lines[: len(lines) // 2]))
        imported(system, "flexlm", log, "--timezone", "Europe/Madrid")
        log.write_bytes(b"".join(lines))
        for _ in range(3):
            _killed(system, log, after_s=rng.uniform(1.0, 3.0))
        for _ in range(2):
            (whole,) = imported(system, "flexlm", log, "--timezone", "Europe/Madrid")
            assert {feature: table(whole)[feature] for feature in expected} == expected
            assert {row["refused"] for row in whole["features"]} == {0}
            assert sum(row["checkouts"] for row in whole["features"]) == 10_007


def test_a_log_whose_earlier_lines_changed_is_refused_by_name(
    tmp_path: Path, system: System
) -> None:
    copy = tmp_path / "activity.csv"
    lines = SAMPLE.read_bytes().splitlines(keepends=True)[:200]
    head, first = b"".join(lines[:1]), lines[1].replace(b"user-0001", b"user-7777")
    copy.write_bytes(head + first + b"".join(lines[2:]))
    imported(system, "activity", copy)
    copy.write_bytes(head + first + b"".join([*lines[2:50], lines[2], *lines[51:]]))
    process = command(system, "activity", copy)
    _, complaint = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode != 0
    assert "activity.csv" in complaint
    assert "earlier lines were changed" in " ".join(complaint.split())


def _killed(system: System, log: Path, *, after_s: float) -> None:
    process = command(system, "flexlm", log, "--timezone", "Europe/Madrid")
    deadline = time.monotonic() + after_s
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
