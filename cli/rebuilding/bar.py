"""How far a rebuild is, for people: a bar with what matters below, or a line now and then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from cli import output
from projector.capacity.wording import size
from projector.rebuild.progress import Progress as Moment

_WIDTH: Final = 30
_LINE_EVERY: Final = 10
"""Moments between two lines, where nobody looks at a terminal: five seconds."""
_OLD_MS: Final = 2_000
_WHOLE: Final = 100.0


class Shown:
    """A bar, and below it what it doesn't say, in a terminal; elsewhere a line now and then.

    Both on stderr.
    """

    def __init__(self) -> None:
        self._console: Console = output.error_console()
        self._moments = 0
        self._said = ""
        self._phase = ""
        self._too_large: tuple[int, ...] = ()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=_WIDTH),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
        )
        self._task = self._bar.add_task("starting", total=100, left="")
        self._live = Live(console=self._console, transient=True, get_renderable=self._drawn)

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._live.stop()

    def tell(self, moment: Moment) -> None:
        """Show one moment."""
        for place in moment.too_large:
            if place not in self._too_large:
                self._print(
                    f"partition {place} takes more memory than a builder may (--memory-mb): it is "
                    "folded through the Redis instead, which is slower"
                )
        self._too_large = moment.too_large
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                description=moment.phase,
                completed=moment.percent,
                left=left_of(moment),
            )
            self._said = said_of(moment)
            return
        if moment.phase != self._phase or self._moments % _LINE_EVERY == 0:
            parts = [f"{moment.phase}: {moment.percent:.0f} %", left_of(moment), said_of(moment)]
            self._print(", ".join(part for part in parts if part))
        self._phase = moment.phase
        self._moments += 1

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=not self._console.is_terminal)

    def _drawn(self) -> Group:
        return Group(self._bar, Text(self._said, style="dim"))


def left_of(moment: Moment) -> str:
    """Say how long it still takes, where that can be told."""
    if moment.left_s is None:
        return ""
    least, most = moment.left_s
    return f"{span(least)} to {span(most)} left"


def said_of(moment: Moment) -> str:
    """Say what a bar doesn't."""
    parts = [f"{moment.events:,} of {moment.events_total:,} events"]
    if moment.phase == "reading back" and moment.keys_per_s:
        parts.append(f"{moment.keys_per_s:,.0f} keys/s")
    elif moment.phase in {"building", "catching up"} and moment.events_per_s:
        parts.append(f"{moment.events_per_s:,.0f} events/s")
    parts.append(f"what serves is {moment.lag_ms} ms old")
    parts.append(f"Redis {size(moment.memory_bytes)}")
    if moment.builder_bytes:
        parts.append(f"builders {size(moment.builder_bytes)}")
    if moment.held:
        parts.append("holding still, what serves comes first")
    return ", ".join(parts)


def now_facts(
    moment: Moment | None, *, now_ms: int, holder: str | None, begun: bool
) -> Mapping[str, str]:
    """Say what is done just now, and by whom; `begun`: something waits for somebody to go on."""
    if moment is None or (holder is None and not begun):
        return {} if holder or not begun else {"now": _NOBODY}
    age_ms = max(0, now_ms - moment.at_ms)
    if holder is None:
        was = f"{_NOBODY}; {age_ms / 1000:.0f} s ago it was at {moment.phase}"
        return {"now": f"{was}, {moment.percent:.1f} %"}
    old = "" if age_ms <= _OLD_MS else f" (as of {age_ms / 1000:.0f} s ago)"
    parts = [f"{moment.phase}{old}", left_of(moment), said_of(moment)]
    facts = {
        "progress": f"{drawn(moment.percent)} {moment.percent:.1f} %",
        "now": ", ".join(part for part in parts if part),
        "by process": holder,
    }
    if moment.too_large:
        named = ", ".join(str(place) for place in moment.too_large)
        facts["not by builders"] = f"partitions {named}: too large for --memory-mb"
    return facts


_NOBODY: Final = "nobody works on it: `ledger rebuild run` goes on where it was"


def drawn(percent: float) -> str:
    """Draw a bar in letters."""
    full = round(_WIDTH * min(max(percent, 0.0), _WHOLE) / _WHOLE)
    return "█" * full + "░" * (_WIDTH - full)


def span(seconds: int) -> str:
    """Say how long something takes."""
    minutes, rest = divmod(seconds, 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min {rest:02d} s" if not hours else f"{hours} h {minutes:02d} min"
