"""How far an import is: a bar in a terminal, a line now and then elsewhere; both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from cli import output

_LINE_EVERY_S: Final = 5.0


class Work(Protocol):
    """A file that is worked on: its path, and how many steps it takes."""

    @property
    def path(self) -> Path: ...  # noqa: D102 - said above

    @property
    def moves(self) -> int: ...  # noqa: D102 - said above


class Shown(Protocol):
    """Where it is shown."""

    def begin(self, found: Work) -> Callable[[int], None]:
        """Begin to show a work; what is given counts its steps."""
        ...

    def end(self) -> None:
        """It has come to its end, whatever that was."""
        ...


class Quiet:
    """Tells nobody."""

    def begin(self, found: Work) -> Callable[[int], None]:
        """Say nothing of it."""
        del found
        return lambda _: None

    def end(self) -> None:
        """Say nothing of it."""


class Bar:
    """A bar with rate and time left in a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def begin(self, found: Work) -> Callable[[int], None]:
        """Show a new bar."""
        task = self._progress.add_task(found.path.name, total=found.moves)
        self._progress.start()
        return lambda count: self._progress.advance(task, count)

    def end(self) -> None:
        """Take the bar away."""
        self._progress.stop()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)


class Lines:
    """A line every few seconds, where nobody looks at a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, found: Work) -> Callable[[int], None]:
        """Count from nothing."""
        started = shown = time.monotonic()
        done = 0

        def moved(count: int) -> None:
            nonlocal done, shown
            done += count
            now = time.monotonic()
            if now - shown > _LINE_EVERY_S:
                shown = now
                rate = done / (now - started)
                left_s = max(found.moves - done, 0) / rate
                self._console.print(
                    f"{found.path.name}: {done} of {found.moves}, {rate:.0f}/s, "
                    f"{left_s:.0f} s left",
                    markup=False,
                )

        return moved

    def end(self) -> None:
        """Nothing to take away."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s")


def on_stderr() -> Bar | Lines:
    """What suits where stderr goes."""
    console = output.error_console()
    return Bar(console) if console.is_terminal else Lines(console)
