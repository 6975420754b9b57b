"""What a person sees of a local ledger: a live list in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cli.importing.progress import Lines, Work
from cli.local.parts import READY, WAITING, Part


class Screen:
    """Shows parts as they start, and lines. Writing to a terminal that is gone harms nothing."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._console = Console(file=file or sys.stdout, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._shown: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._started = time.monotonic()
        self._work: tuple[str, str] | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since this screen was made."""
        return time.monotonic() - self._started

    def line(self, text: str = "", *, style: str | None = None) -> None:
        """Write a line as it is."""
        with suppress(OSError, ValueError):
            self._console.print(text, style=style, markup=False)

    def parts(self, parts: list[Part], words: Mapping[str, str]) -> None:
        """Show how far each part is; elsewhere than in a terminal only what has changed."""
        for part in parts:
            word = words.get(part.name, WAITING)
            if self._shown.get(part.name) != word:
                self._shown[part.name] = word
                self._since[part.name] = self.elapsed_s
                if not self._console.is_terminal and word != WAITING:
                    self.line(f"{self.elapsed_s:5.1f} s  {part.title}: {word}")
        if self._console.is_terminal:
            self._draw(parts)

    def begin(self, found: Work) -> Callable[[int], None]:
        """Show how far a work is, below the parts; elsewhere than in a terminal now and then."""
        title = found.path.name
        if not self._console.is_terminal:
            if found.moves:
                self.line(f"{self.elapsed_s:5.1f} s  {title}: {found.moves:,} to do")
            return Lines(self._console).begin(found)
        done = 0

        def moved(count: int) -> None:
            nonlocal done
            done += count
            self._work = title, f"{done:,} of {found.moves:,}"

        moved(0)
        return moved

    def end(self) -> None:
        """Show that work no longer."""
        self._work = None

    def settle(self) -> None:
        """Leave the list as it stands; what comes next is written below it."""
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()
            self._live = None

    def _draw(self, parts: list[Part]) -> None:
        with suppress(OSError, ValueError):
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            self._live.update(self._table(parts), refresh=True)

    def _table(self, parts: list[Part]) -> Table:
        table = Table.grid(padding=(0, 2))
        for part in parts:
            word = self._shown.get(part.name, WAITING)
            is_ready = word == READY
            mark = "[green]✓[/]" if is_ready else "[yellow]·[/]"
            after = f"{self._since.get(part.name, 0.0):.1f} s" if is_ready else ""
            table.add_row(mark, escape(part.title), escape(word), str(part.port), after)
        if self._work is not None:
            title, far = self._work
            table.add_row("[yellow]·[/]", escape(title), far, "", "")
        return table
