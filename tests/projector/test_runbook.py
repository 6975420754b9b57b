"""Every alarm has a heading in the runbook, and every heading is an alarm."""

from __future__ import annotations

import re

from projector.capacity.watch import ALARMS
from projector.logs import FILLING_RUNBOOK, RUNBOOK
from tests.servers import ROOT

_RAISED = re.compile(r'(?:alarm\(\s*_log,|Stopped\(|\bstop\()\s*"([a-z-]+)"')


def test_alarms_and_headings_are_the_same() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "projector").rglob("*.py")]
    raised = {name for source in sources for name in _RAISED.findall(source)}
    raised |= {"log-missing", "not-level"}  # chosen by the error
    headings = re.findall(r"^## ([a-z-]+)$", (ROOT / RUNBOOK).read_text("utf-8"), re.MULTILINE)
    assert sorted(raised) == sorted(headings)


def test_every_metric_is_explained() -> None:
    text = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    source = (ROOT / "projector" / "metrics.py").read_text(encoding="utf-8")
    counters = re.findall(r'_counter\(\s*"([a-z_]+)"', source)
    gauges = re.findall(r'_gauge\(\s*"([a-z_]+)"', source)
    assert counters
    assert gauges
    missing = [f"{name}_total" for name in counters if f"`{name}_total`" not in text]
    missing += [name for name in gauges if f"`{name}{{partition}}`" not in text]
    assert not missing


def test_alarms_and_metrics_of_room_have_their_own_page() -> None:
    text = (ROOT / FILLING_RUNBOOK).read_text(encoding="utf-8")
    assert re.findall(r"^## ([a-z-]+-filling)$", text, re.MULTILINE) == [*ALARMS.values()]
    source = (ROOT / "projector/capacity/watch.py").read_text(encoding="utf-8")
    gauges = re.findall(r'_gauge\(\s*registry, "([a-z_]+)"', source)
    assert len(gauges) == 3
    assert not [name for name in gauges if f"`ledger_capacity_{name}{{store}}`" not in text]
