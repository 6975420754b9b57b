"""What people see of a watch: lines that change in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import Any, Final, Self

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli import output
from cli.maintenance.guarding import Disk
from cli.maintenance.moments import Moment, Outcome
from cli.maintenance.size import size, span

_LINE_S: Final = 5.0
_JSON_S: Final = 1.0
_BAR: Final = 30
_STILL: Final = 1 << 20
"""Bytes a second: what falls slower is called still."""


class Shown:
    """Shows moments: on stderr for people, or as lines of JSON on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._console: Console = output.error_console()
        self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._said_at = float("-inf")
        self._phase = ""

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal and not self._json:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the lines away."""
        self._live.stop()

    def tell(self, moment: Moment) -> None:
        """Show one moment."""
        if self._console.is_terminal and not self._json:
            self._live.update(drawn(moment), refresh=True)
            return
        every = _JSON_S if self._json else _LINE_S
        changed = moment.phase != self._phase and not self._json
        if not changed and time.monotonic() < self._said_at + every:
            return
        self._said_at, self._phase = time.monotonic(), moment.phase
        if self._json:
            output.print_json_line({"moment": msgspec.to_builtins(moment)})
        else:
            self._console.print(line(moment), markup=False, soft_wrap=True)


def drawn(moment: Moment) -> Group:
    """A moment in a terminal."""
    done = moment.share
    head = Text(f"pid {moment.pid}  ", style="dim")
    head.append(output.plain(moment.statement))
    head.truncate(100, overflow="ellipsis")
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=1.0, completed=done or 0.0, width=_BAR),
        Text(_percent(done), style="bold"),
        Text(f"{span(moment.elapsed_s)} so far, {_left(moment)}"),
    )
    facts = Table.grid(padding=(0, 2))
    index = f" {moment.index}" if moment.index else ""
    facts.add_row(Text("now", style="dim"), output.plain(f"{moment.phase}{index}"))
    for one in moment.disks:
        near = one.free_bytes < 2 * one.floor_bytes
        facts.add_row(Text("disk", style="dim"), Text(_disk(one), style="yellow" if near else ""))
    held = Text(_waiting(moment), style="yellow" if moment.waiting.sessions else "")
    facts.add_row(Text("behind", style="dim"), held)
    return Group(head, bar, facts)


def line(moment: Moment) -> str:
    """A moment in a line."""
    index = f" {moment.index}" if moment.index else ""
    parts = [
        f"{_percent(moment.share)}, {_left(moment)}",
        *(_disk(one) for one in moment.disks),
        _waiting(moment),
    ]
    return f"{moment.phase}{index}: {'; '.join(parts)}"


def _percent(share: float | None) -> str:
    return "  ?" if share is None else f"{share:3.0%}".replace("%", " %")


def _left(moment: Moment) -> str:
    if moment.left_s is None:
        return "time left unknown"
    least, most = moment.left_s
    return f"{span(least)} to {span(most)} left"


def _disk(one: Disk) -> str:
    said = f"{size(one.free_bytes)} free on {one.path}"
    if one.falling > _STILL:
        said += f", falling {size(one.falling)}/s"
    elif one.falling < -_STILL:
        said += f", rising {size(-one.falling)}/s"
    return f"{said}, floor {size(one.floor_bytes)}"


def _waiting(moment: Moment) -> str:
    waiting = moment.waiting
    said = (
        f"{waiting.sessions} sessions wait, the longest for {span(waiting.longest_s)}"
        if waiting.sessions
        else "nobody waits"
    )
    if waiting.waits_for:
        said += f"; it waits itself for pid {', '.join(map(str, waiting.waits_for))}"
    return said


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """What became of it, for programs."""
    return {"outcome": msgspec.to_builtins(outcome)}


def print_outcome(outcome: Outcome) -> None:
    """Print what became of it."""
    to = output.console()
    if outcome.aborted:
        how = "terminated" if outcome.by_force else "cancelled"
        to.print(Text(f"{how} after {span(outcome.elapsed_s)}", style="bold red"))
        _more(to, f"why: {outcome.aborted}")
    elif outcome.done is None:
        to.print("It has ended; what came of it can't be told.")
    elif outcome.done:
        to.print(Text(f"done after {span(outcome.elapsed_s)}", style="bold green"))
    else:
        to.print(Text(f"failed after {span(outcome.elapsed_s)}", style="bold red"))
        _more(to, "it ended by itself and the indexes are as before: its session has the error")
    if outcome.least_free_bytes is not None:
        _more(to, f"least that was free: {size(outcome.least_free_bytes)}")
    for name in outcome.left_behind:
        _more(to, f"left behind, invalid: {name}; DROP INDEX CONCURRENTLY it")


def _more(to: Console, text: str) -> None:
    to.print(output.plain(f"  {text}"), overflow="fold")
