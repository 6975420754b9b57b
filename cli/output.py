"""Results for people and for programs: rich text, or JSON on stdout.

What every command keeps to: results on stdout, all else on stderr; colors in a terminal only, and
none where NO_COLOR is set; tables that fit the terminal, elsewhere cut nowhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_ELSEWHERE: Final = 240


def console() -> Console:
    """Where results go: colors in a terminal only; elsewhere wide enough to cut nothing."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, width=_WIDTH_ELSEWHERE)


def error_console() -> Console:
    """Where progress and remarks go, so that stdout holds nothing but the result."""
    return Console(file=sys.stderr, highlight=False)


def remark(text: str) -> None:
    """Say something beside the result."""
    error_console().print(plain(text), style="dim")


def print_json(document: Any) -> None:  # noqa: ANN401 - whatever JSON takes
    """Print one JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_line(document: Any) -> None:  # noqa: ANN401 - whatever JSON takes
    """Print one JSON document of a stream in a line of its own, at once."""
    print(json.dumps(document, ensure_ascii=False, separators=(",", ":")), flush=True)


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and values, a pair a line."""
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(name, plain(value))
    console().print(grid)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Sequence[str] = ()
) -> None:
    """Print rows under their columns' names; in a narrow terminal cells are folded.

    `whole`: columns that are never folded, such as ids that are to be copied.
    """
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name in whole, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    console().print(table)


def plain(text: str) -> Text:
    """Text of others as it is: no markup in it means anything, no control character passes."""
    return Text("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
