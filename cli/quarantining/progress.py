"""How far an order is: a bar in a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli import output


@contextmanager
def partitions_shown(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar over so many partitions; what it gives is told how many more are done."""
    console = output.error_console()
    with Progress(
        TextColumn("folding again"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("partitions"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or not total,
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
