"""Where everything of the chart stands: both sides one above the other, on one axis of time; pure.

Lengths are in the units of the drawing. A second in which anything was tried is a column of full
height: below the share that started or succeeded, above it the share that failed. So a rush of
many a second hides nothing of what was before it; and one failure among thousands is drawn high
enough to be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cli.drill.outcome import Outcome, Second, Side, SideName
from cli.drill.report.contents import Contents
from cli.drill.report.scale import (
    Marker,
    Scale,
    Size,
    area,
    cluster,
    shortened,
    text_width,
    ticks_of,
)
from cli.drill.wording import count, minutes, printable

_LEAST_FAILED: Final = 3.0
"""How high a failure is drawn at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A phase: from `x` on, named by `lines`."""

    x: float
    width: float
    lines: list[str]
    shaded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One kind of request of one side. `good` and `bad` are paths of areas."""

    caption: str
    caption_y: float
    top: float
    base: float
    good: str
    bad: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of time as a bar, with its label beside it."""

    x: float
    y: float
    width: float
    label: str
    label_x: float
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideDrawing:
    """A side: its title and panels, and what was neutralized on it."""

    title: str
    lost: str
    title_y: float
    bottom: float
    neutralized: Span | None
    panels: list[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All of a drawing."""

    size: Size
    height: float
    top: float
    bottom: float
    markers_y: float
    bands: list[Band]
    markers: list[Marker]
    sides: list[SideDrawing]
    ticks: list[tuple[float, str]]


def chart(contents: Contents, size: Size) -> Chart:
    """The drawing of an outcome in a size."""
    outcome, line = contents.outcome, size.font + 5
    scale = Scale(size, end_of(outcome))
    bands = _bands(contents, scale)
    header = 4 + line * max([len(band.lines) for band in bands], default=0)
    markers = cluster([moment.at_s for moment in contents.in_order], scale)
    markers_y = header + 4
    y: float = markers_y + (line + 4 if markers else 0)
    sides = []
    for side in contents.sides:
        drawn = _side(side, outcome, scale, y)
        sides.append(drawn)
        y = drawn.bottom + line / 2
    bottom = sides[-1].bottom
    return Chart(
        size=size,
        height=bottom + 2 * line,
        top=0,
        bottom=bottom,
        markers_y=markers_y,
        bands=bands,
        markers=markers,
        sides=sides,
        ticks=ticks_of(scale),
    )


def end_of(outcome: Outcome) -> float:
    """The drill's last moment."""
    phases = [phase.to_s for phase in outcome.phases]
    seconds = [second.at_s + 1.0 for side in outcome.sides for second in side.seconds]
    return max([*phases, *seconds], default=0.0)


def _bands(contents: Contents, scale: Scale) -> list[Band]:
    bands: list[Band] = []
    for phase, entry in zip(contents.outcome.phases, contents.phases, strict=True):
        x, end = scale.x(phase.from_s), scale.x(phase.to_s)
        if end > x:
            lines = _lines(entry.letter, entry.title, end - x, scale.size)
            bands.append(Band(x=x, width=round(end - x, 2), lines=lines, shaded=len(bands) % 2 > 0))
    return bands


def _lines(letter: str, title: str, width: float, size: Size) -> list[str]:
    """A phase's letter, and below it its title in at most two lines, where that fits."""
    if not size.titles:
        return [letter]
    lines: list[str] = []
    for word in title.split():
        together = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(together, size.font) <= width - 4:
            lines[-1] = together
        else:
            lines.append(word)
    fits = all(text_width(line, size.font) <= width - 4 for line in lines)
    return [letter, *lines] if fits and len(lines) <= 2 else [letter]  # noqa: PLR2004


def _side(side: Side, outcome: Outcome, scale: Scale, y: float) -> SideDrawing:
    size, line = scale.size, scale.size.font + 5
    lost = f"{minutes(side.lost_minutes)} launch-minutes lost"
    room = size.width - size.left - size.right - text_width(lost, size.font) - size.font
    title = shortened(printable(side.title), room, size.font + 1)
    title_y = y + line - 4
    y += line
    neutralized = None
    if side.name is SideName.NAIVE and outcome.neutralized is not None:
        neutralized = _span(outcome.neutralized, scale, y + 3)
        y += line
    launches = _panel(side, scale, y, ("launches", size.launches, *_LAUNCHES))
    activations = _panel(
        side,
        scale,
        launches.base + 3,
        ("activations", size.activations, *_ACTIVATIONS),
    )
    return SideDrawing(
        title=title,
        lost=lost,
        title_y=title_y,
        bottom=activations.base,
        neutralized=neutralized,
        panels=[launches, activations],
    )


_Count = Callable[[Second], int]


def _launches(second: Second) -> int:
    return second.launches


def _started(second: Second) -> int:
    return second.started


def _activations(second: Second) -> int:
    return second.activations


def _activated(second: Second) -> int:
    return second.activated


_LAUNCHES: Final[tuple[_Count, _Count]] = (_launches, _started)
_ACTIVATIONS: Final[tuple[_Count, _Count]] = (_activations, _activated)


def _panel(side: Side, scale: Scale, y: float, kind: tuple[str, int, _Count, _Count]) -> Panel:
    caption, height, tried, good = kind
    counts = [tried(second) for second in side.seconds if tried(second)]
    top = y + scale.size.font + 7
    base = top + height

    def share(second: Second) -> float:
        if not tried(second):
            return base
        level = base - height * good(second) / tried(second)
        return level if good(second) == tried(second) else max(level, top + _LEAST_FAILED)

    def whole(second: Second) -> float:
        return top if tried(second) else base

    return Panel(
        caption=f"{caption}: {_from_to(counts)} a second",
        caption_y=top - 5,
        top=top,
        base=base,
        good=area(side.seconds, lambda _: base, share, scale),
        bad=area(side.seconds, share, whole, scale),
    )


def _from_to(counts: list[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    return count(most) if least == most else f"{count(least)} to {count(most)}"


def _span(within: tuple[float, float], scale: Scale, y: float) -> Span:
    size, label = scale.size, "neutralized by hand"
    x, end = scale.x(within[0]), scale.x(within[1])
    right = end + 5 + text_width(label, size.font) <= size.width
    return Span(
        x=x,
        y=y,
        width=max(round(end - x, 2), 2.0),
        label=label,
        label_x=round(end + 5 if right else x - 5, 2),
        anchor="start" if right else "end",
    )
