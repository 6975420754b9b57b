"""Results for people and for programs: rich text, or JSON on stdout.

What every command keeps to: results on stdout, all else on stderr; colors in a terminal only, and
none where NO_COLOR is set; tables that fit the terminal, elsewhere cut nowhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_WIDTH_ELSEWHERE: Final = 240
_GAP: Final = 2
_ID: Final = 36


def console(*, at_least: int = 0) -> Console:
    """Where results go: colors in a terminal only; elsewhere wide enough to cut nothing.

    `at_least`: columns that the result takes where nothing of it is folded.
    """
    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)
    return Console(file=sys.stdout, highlight=False, width=max(_WIDTH_ELSEWHERE, at_least))


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
    """Print names and values, a pair a line; a value that doesn't fit there stands below."""
    to, names = console(), max((cell_len(name) for name in facts), default=0)
    for name, value in facts.items():
        line = Text(f"{name:<{names}}  ").append_text(plain(value))
        line.rstrip()
        if not to.is_terminal:
            print(line.plain)
        elif line.cell_len <= to.width:
            to.print(line)
        elif names + _GAP + _ID <= to.width:
            to.print(_beside(name, plain(value), names))
        else:
            to.print(name, markup=False)
            to.print(Padding(plain(value), (0, 0, 0, _GAP)), overflow="fold")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    whole: Sequence[str] = (),
    least: int = 8,
    styles: Sequence[str] = (),
) -> None:
    """Print rows under their columns' names; in a narrow terminal cells are folded.

    `whole`: columns that are never folded, such as ids that are to be copied. Where these don't
    fit the terminal beside `least` characters of each other one, each row is printed in lines of
    its own. `styles`: of each row, where they differ.
    """
    cells = [[plain(one) for one in row] for row in rows]
    styles = styles or [""] * len(cells)
    widths = [
        max([cell_len(name), *(row[at].cell_len for row in cells)])
        for at, name in enumerate(columns)
    ]
    needed = [
        width if name in whole else min(width, least)
        for name, width in zip(columns, widths, strict=True)
    ]
    gaps = _GAP * (len(columns) - 1)
    to = console(at_least=sum(widths) + gaps)
    if to.is_terminal and sum(needed) + gaps > to.width:
        _print_apart(to, columns, cells, styles)
        return
    table = Table(box=None, pad_edge=False)
    for name, width in zip(columns, needed, strict=True):
        table.add_column(name, no_wrap=name in whole, overflow="fold", min_width=width)
    for row, style in zip(cells, styles, strict=True):
        table.add_row(*row, style=style)
    to.print(table)


def _print_apart(
    to: Console, columns: Sequence[str], cells: Sequence[Sequence[Text]], styles: Sequence[str]
) -> None:
    """Print each row's first cell in a line of its own, and below what the others have."""
    names = max(cell_len(name) for name in columns[1:])
    for row, style in zip(cells, styles, strict=True):
        to.print(row[0], style=style or "bold", overflow="fold")
        for name, cell in zip(columns[1:], row[1:], strict=True):
            if cell.plain:
                to.print(Padding(_beside(name, cell, names), (0, 0, 0, _GAP)), style=style)


def _beside(name: str, value: Text, names: int) -> Table:
    """A name and its value, which is folded; `names`: the width of all names."""
    grid = Table.grid(padding=(0, _GAP))
    grid.add_column(width=names, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(name, value)
    return grid


def plain(text: str) -> Text:
    """Text of others as it is: no markup in it means anything, no control character passes."""
    return Text("".join(letter if letter.isprintable() else "\ufffd" for letter in text))
