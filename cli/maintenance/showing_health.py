"""What people see of a database's health: what is due, why, and the statements."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from rich.padding import Padding
from rich.text import Text

from cli import output
from cli.maintenance.health import Due, Health
from cli.maintenance.size import size

_TITLES: Final = {
    "collation": "Order has changed: what these find may be wrong",
    "wraparound": "Not frozen for long",
    "invalid": "Invalid indexes",
    "orphans": "Files that nothing knows",
    "bloat": "Room that indexes waste",
}
_LISTED: Final = 20


def health_document(health: Health) -> dict[str, Any]:
    """The same for programs."""
    document: dict[str, Any] = msgspec.to_builtins(health)
    return {"well": not health.due, **document}


def print_health(health: Health) -> None:
    """Print what is due, what matters most first."""
    to = output.console()
    to.print(Text(f"{health.server}, Postgres {health.version}", style="dim"))
    for kind, title in _TITLES.items():
        due = [one for one in health.due if one.kind == kind]
        if due:
            _print_kind(title, due)
    if health.unknown:
        to.print(Text("\nWhat could not be looked at", style="bold"))
        for line in health.unknown:
            _line(line)
    to.print()
    if health.due:
        gain = sum(one.bytes for one in health.due)
        room = f"; {size(gain)} to be gained" if gain else ""
        to.print(Text(f"{len(health.due)} due{room}", style="bold yellow"))
    else:
        looked = f"{health.looked_at} tables with large indexes looked at"
        to.print(Text.assemble(("nothing is due", "bold green"), f", {looked}"))


def _print_kind(title: str, due: list[Due]) -> None:
    to = output.console()
    to.print(Text(f"\n{title}", style="bold"))
    for one in due[:_LISTED]:
        of = f" of {one.table}" if one.table and one.table != one.what else ""
        _line(f"{one.what}{of}: {one.said}")
        for step in one.do:
            _line(f"  → {step}")
    if len(due) > _LISTED:
        _line(f"and {len(due) - _LISTED} more: --json has all")


def _line(line: str) -> None:
    to = output.console()
    text = output.plain(line)
    if not to.is_terminal:
        print(f"  {text.plain}")
        return
    indent = 2 + len(line) - len(line.lstrip())
    to.print(Padding(Text(text.plain.lstrip()), (0, 0, 0, indent)), overflow="fold")
