"""What a person sees of a drill: the last seconds of both sides, live; elsewhere a line each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli import output
from cli.drill.outcome import Second

SHOWN_S: Final = 16
_BAR: Final = 14
_FULL, _EMPTY = "█", "░"

Row = tuple[int, str, Second, Second]
"""A second: which, the phase's title, what the naive service and the ledger made of it."""


class Screen:
    """Writes to stderr, so that stdout has nothing but the result."""

    def __init__(self) -> None:
        self._console = output.error_console()
        self._live: Live | None = None
        self._next = 0
        self._started = time.monotonic()

    def line(self, text: str, *, style: str = "") -> None:
        """Write a line as it is."""
        with suppress(OSError, ValueError):
            since = f"{time.monotonic() - self._started:5.1f} s  "
            told = Text(since, style="dim").append(Text(text, style=style))
            self._console.print(told, soft_wrap=True)

    def seconds(self, rows: Sequence[Row], about: str, *, settled: int) -> None:
        """Show the latest seconds; before `settled` nothing changes any more."""
        if self._console.is_terminal:
            with suppress(OSError, ValueError):
                if self._live is None:
                    self._live = Live(console=self._console, auto_refresh=False, transient=True)
                    self._live.start()
                self._live.update(Group(_table(rows[-SHOWN_S:]), Text(about)), refresh=True)
            return
        for at, phase, naive, ledger in rows:
            if self._next <= at < settled:
                self._next = at + 1
                with suppress(OSError, ValueError):
                    told = f"naive {_told(naive)}; ledger {_told(ledger)}"
                    line = Text(f"{at:4} s  {phase:<10}  {told}")
                    self._console.print(line, soft_wrap=True)

    def settle(self) -> None:
        """Take the live table away."""
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()
            self._live = None


def _told(one: Second) -> str:
    return (
        f"{one.started} of {one.launches} launches, "
        f"{one.activated} of {one.activations} activations"
    )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("s", justify="right")
    table.add_column("phase", min_width=10)
    for side in ("naive", "ledger"):
        table.add_column(f"{side}: launches started", min_width=_BAR + 8)
        table.add_column("activations", min_width=7)
    for at, phase, naive, ledger in rows:
        table.add_row(
            str(at),
            phase,
            _bar(naive.started, naive.launches, _BAR),
            _bar(naive.activated, naive.activations, 0),
            _bar(ledger.started, ledger.launches, _BAR),
            _bar(ledger.activated, ledger.activations, 0),
        )
    return table


def _bar(done: int, of: int, width: int) -> Text:
    if not of:
        return Text("…", style="dim")
    full = round(width * done / of)
    style = "green" if done == of else "red" if done < of / 2 else "yellow"
    bar = _FULL * full + _EMPTY * (width - full)
    return Text(f"{bar} {done:>3}/{of}".strip(), style=style)
