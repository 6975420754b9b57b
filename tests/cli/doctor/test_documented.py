"""docs/operations/doctor.md has a row for each finding of `ledger doctor`, and no other."""

from __future__ import annotations

import re

from tests.servers import ROOT

_SAID = re.compile(
    r'\b(?:ok|warn|fail)\(\s*f?"([A-Za-z\' -]+)'
    r'|\bname = f?"([A-Za-z\' -]+)'
    r'|(?<=[{\[])f?"(API[a-z ]*)'
    r'|_PROCESSES: Final = "([a-z]+)'
    r'|_certificate\(f"([a-z]+)'
)
"""What a finding is called: a finding made, a name given to several, the API's addresses."""


def test_every_finding_has_its_row() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "cli" / "doctor").glob("*.py"))
    findings = {"".join(names).strip() for names in _SAID.findall(sources)}
    assert {"disk", "replica", "API worker", "certificate", "processes"} <= findings
    text = (ROOT / "docs" / "operations" / "doctor.md").read_text(encoding="utf-8")
    firsts = re.findall(r"^\| (`[^|]+`) \| ", text, re.MULTILINE)
    assert sorted(re.findall(r"`([^`]+)`", " ".join(firsts))) == sorted(findings)
