"""Every alarm of the API has a heading that says what to do, every figure its row; no other."""

from __future__ import annotations

import re

from prometheus_client.metrics_core import Metric

from api.logs import RUNBOOK
from api.metrics import Metrics
from tests.servers import ROOT

_RAISED = re.compile(r'alarm\(\s*_log,\s*"([a-z-]+)"|RUNBOOK\}#([a-z-]+)"')


def text() -> str:
    return (ROOT / RUNBOOK).read_text(encoding="utf-8")


def test_alarms_and_headings_are_the_same() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "api").rglob("*.py")]
    raised = {"".join(names) for source in sources for names in _RAISED.findall(source)}
    assert {"clocks-apart", "guessing"} <= raised
    assert sorted(raised) == sorted(re.findall(r"^### ([a-z-]+)$", text(), re.MULTILINE))


def test_every_figure_is_explained_and_no_other() -> None:
    figures = {_shown(metric) for metric in Metrics().registry.collect()}
    [table] = re.findall(r"\| metric \(`ledger_api_…`\) .*?\n\n", text(), re.DOTALL)
    rows = re.findall(r"^\| ((?:`[^`|]+`(?:, )?)+) \|", table, re.MULTILINE)
    names = re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`", " ".join(rows))
    assert sorted(names) == sorted(figures)


def _shown(metric: Metric) -> str:
    name = str(metric.name).removeprefix("ledger_api_")
    return f"{name}_total" if metric.type == "counter" else name
