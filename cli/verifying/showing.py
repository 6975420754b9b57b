"""What was found, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import to_builtins
from rich.text import Text

from cli import output
from ledger.checkpoints.comparing import Finding, Kind

_RUNBOOK: Final = "docs/operations/checkpoints.md"
_OF_REPLICAS: Final = {Kind.REPLICA_AHEAD, Kind.REPLICA_DIFFERS, Kind.REPLICA_AWAY}


def print_findings(findings: Sequence[Finding]) -> None:
    """Print what isn't as it was, a line each, and what to do."""
    console = output.console()
    for one in findings:
        console.print(Text("✗ ", style="bold red").append_text(output.plain(one.said)))
    if findings:
        output.remark(advice(findings))


def advice(findings: Sequence[Finding]) -> str:
    """What to do about it."""
    kinds = {one.kind for one in findings}
    if kinds <= _OF_REPLICAS:
        return f"{_RUNBOOK} says what to do about a replica."
    older = kinds - _OF_REPLICAS == {Kind.TRUNCATED}
    why = "The log was truncated, or restored to an older state. " if older else ""
    return f"{why}Stop writing, and restore; never append again what is lost: {_RUNBOOK}"


def shown(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings for programs."""
    plain: list[dict[str, Any]] = [
        {_CAMEL.get(name, name): value for name, value in to_builtins(one).items()}
        for one in findings
    ]
    return plain


_CAMEL: Final = {"equal_to": "equalTo"}
