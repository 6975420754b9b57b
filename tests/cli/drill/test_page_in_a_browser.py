"""The page laid out by a browser: a phone's width, and a desktop's."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.drill.outcome import Moment, Outcome, PhaseName
from cli.drill.report import write
from tests.cli.drill.outcomes import FAILING, outcome_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LEAST_LETTERS_PX = 9
_WRAPPER = """<!DOCTYPE html><title></title>
<iframe style="border:0;width:%(width)dpx;height:900px" srcdoc="%(page)s"></iframe>
<script>
onload = () => {
  const shown = document.querySelector("iframe").contentDocument, root = shown.documentElement;
  const charts = [...shown.querySelectorAll("svg.chart")].filter(one => one.clientWidth);
  document.title = JSON.stringify({
    wide: root.scrollWidth, room: root.clientWidth,
    charts: charts.map(one => one.getAttribute("class")),
    letters: Math.min(...charts.map(one =>
      (one.getAttribute("font-size") - 1) * one.clientWidth / one.viewBox.baseVal.width)),
  });
};
</script>
"""


def laid_out(outcome: Outcome, width: int, folder: Path) -> dict[str, Any]:
    if CHROMIUM is None:
        pytest.skip("chromium isn't installed: nothing here can lay a page out")
    page = write(outcome, folder).html.read_text(encoding="utf-8")
    wrapper = folder / "wrapper.html"
    wrapper.write_text(_WRAPPER % {"width": width, "page": html.escape(page)}, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/user"]
    done = subprocess.run(
        [CHROMIUM, *options, "--window-size=1400,1000", "--dump-dom", wrapper.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    title = re.search(r"<title>(.+?)</title>", done.stdout)
    assert title is not None, done.stdout[:500]
    measured: dict[str, Any] = json.loads(html.unescape(title[1]))
    return measured


@pytest.mark.parametrize(("width", "chart"), [(360, "narrow"), (375, "narrow"), (1280, "wide")])
def test_nothing_runs_out_of_the_page_and_the_chart_is_legible(
    width: int, chart: str, tmp_path: Path
) -> None:
    outcome = outcome_of(failing={**FAILING, PhaseName.HANG: (0.25, 1.0)}, naive_minutes=123456.0)
    naive, ledger = outcome.sides
    many = [
        replace(one, checks=one.checks * 99, checks_failed=one.checks_failed * 99)
        for one in naive.phases
    ]
    outcome = replace(
        outcome,
        moments=[*outcome.moments, Moment(at_s=90.0, text="unbroken" * 40)],
        sides=[replace(naive, phases=many, title="A naive service on Postgres 15"), ledger],
    )
    seen = laid_out(outcome, width, tmp_path)
    assert seen["room"] in range(width - 20, width + 1)
    assert seen["wide"] <= seen["room"]
    assert seen["charts"] == [f"chart {chart}"]
    assert seen["letters"] >= LEAST_LETTERS_PX
