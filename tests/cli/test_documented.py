"""docs/cli.md has every command, and no other."""

from __future__ import annotations

import re
from typing import Any

import typer

from cli.main import app
from tests.servers import ROOT

TEXT = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
GROUPS = ("license", "machine", "policy", "product", "entitlement", "token", "account")


def commands(group: Any) -> dict[str, Any]:  # noqa: ANN401 - typer brings its own click
    """Commands of a group; none of what is no group."""
    found: dict[str, Any] = getattr(group, "commands", {})
    return found


COMMANDS = commands(typer.main.get_command(app))


def test_every_command_of_a_group_is_in_its_row() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ((?:`[a-z-]+` ?)+)\|$", TEXT, re.MULTILINE))
    assert tuple(rows) == GROUPS
    for name, row in rows.items():
        assert sorted(re.findall(r"`([a-z-]+)`", row)) == sorted(commands(COMMANDS[name]))


def test_every_other_command_has_a_heading() -> None:
    headings = " ".join(re.findall(r"^## .*$", TEXT, re.MULTILINE))
    for name in COMMANDS.keys() - set(GROUPS):
        assert re.search(rf"`(ledger )?{name}\b", headings), name
        for own in commands(COMMANDS[name]):
            assert f"ledger {name} {own}" in TEXT
