"""`ledger doctor`: everything that must be there and run, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import typer
from msgspec.structs import asdict
from rich.table import Table
from rich.text import Text

from cli import output, trouble
from cli.doctor.finding import Finding, Level
from cli.doctor.run import examine
from cli.local.folder import DEFAULT
from cli.options import Data, Json
from cli.running import run

_STYLES: Final = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}


def doctor(*, data: Data = DEFAULT, as_json: Json = False) -> None:
    """Check what is installed and what runs, and say what to do next; within 10 s.

    Programs, settings, ports, broker and topics, replicas, projectors, API, clocks, certificates,
    disk and the days until it is full; it works with everything down. The exit code is 0 where
    nothing failed, warnings or not; 1 where something did; 2 for wrong usage.
    Examples: `ledger doctor`, `ledger doctor --json`.
    """
    findings = run(examine(data))
    if as_json:
        output.print_json(document(findings))
    else:
        _print(findings)
    failed = any(one.level is Level.FAIL for one in findings)
    raise typer.Exit(trouble.FAILED if failed else trouble.OK)


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """The findings, and how all of it is: the worst of them."""
    worst = max((one.level for one in findings), key=list(Level).index, default=Level.OK)
    return {"level": worst, "findings": [asdict(one) for one in findings]}


def _print(findings: Sequence[Finding]) -> None:
    console = output.console()
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        said = output.plain(one.said)
        if one.step:
            said = Text.assemble(said, "\n", ("→ ", "bold"), output.plain(one.step))
        table.add_row(Text(one.level, style=_STYLES[one.level]), output.plain(one.name), said)
    console.print(table)
    counts = {level: sum(one.level is level for one in findings) for level in Level}
    console.print(", ".join(f"{count} {level}" for level, count in counts.items() if count))
