"""Reads docs/format.md: its headings and its tables."""

from __future__ import annotations

import re
from pathlib import Path

FORMAT = Path(__file__).parents[3] / "docs/format.md"
_HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)


def headings() -> list[str]:
    return _HEADING.findall(FORMAT.read_text(encoding="utf-8"))


def tables_of(heading: str) -> list[list[list[str]]]:
    """Tables under a heading, up to the next one: each its rows of cells, the head row first."""
    text = FORMAT.read_text(encoding="utf-8")
    _, _, after = re.split(rf"^(#+ {re.escape(heading)})$", text, maxsplit=1, flags=re.MULTILINE)
    section = re.split(r"^#+ ", after, maxsplit=1, flags=re.MULTILINE)[0]
    found: list[list[list[str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        lines = [line for line in block.splitlines() if not re.fullmatch(r"[|\s:-]+", line)]
        found.append([[cell.strip() for cell in line.strip("|").split("|")] for line in lines])
    return found
