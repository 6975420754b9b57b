"""The scale of time of a drawing, and what is laid along it: areas, markers, marks; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cli.drill.outcome import Second
from cli.drill.wording import number

_LETTER_WIDTH: Final = 0.58
"""Of a letter, on average, of the font's size; a little generous."""
_STEPS_S: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A drawing's size: `titles` says whether phases are named in it, or by their letter only."""

    name: str
    width: int
    left: int
    font: int
    launches: int
    activations: int
    tick: int
    titles: bool
    right: int = 8


WIDE: Final = Size(
    name="wide", width=960, left=52, font=14, launches=112, activations=48, tick=64, titles=True
)
NARROW: Final = Size(
    name="narrow", width=340, left=40, font=12, launches=84, activations=36, tick=44, titles=False
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """Moments too near to each other to be told apart: `3`, `3-5`; `at`: where each one was."""

    x: float
    width: float
    label: str
    at: list[float]


class Scale:
    """Seconds of the drill to places in a drawing."""

    def __init__(self, size: Size, end_s: float) -> None:
        self.size = size
        self.end_s = max(end_s, 1.0)
        self._unit = (size.width - size.left - size.right) / self.end_s

    def x(self, at_s: float) -> float:
        """Where a moment stands, never outside."""
        within = min(max(at_s, 0.0), self.end_s)
        return round(self.size.left + within * self._unit, 2)


def cluster(moments: Sequence[float], scale: Scale) -> list[Marker]:
    """Moments, in their order, as markers that don't overlap."""
    markers: list[Marker] = []
    for index, at_s in enumerate(moments):
        at = [scale.x(at_s)]
        marker = _marker(index, at, scale)
        while markers and marker.x < markers[-1].x + markers[-1].width + 2:
            at = [*markers.pop().at, *at]
            marker = _marker(index + 1 - len(at), at, scale)
        markers.append(marker)
    return markers


def _marker(first: int, at: list[float], scale: Scale) -> Marker:
    size, last = scale.size, first + len(at)
    label = str(last) if len(at) == 1 else f"{first + 1}\u2013{last}"
    width = max(size.font + 4.0, text_width(label, size.font) + 8)
    x = min(at[0] - (size.font + 4) / 2, size.width - width)
    return Marker(x=round(x, 2), width=round(width, 2), label=label, at=at)


def area(
    seconds: Sequence[Second],
    low: Callable[[Second], float],
    high: Callable[[Second], float],
    scale: Scale,
) -> str:
    """The path of an area of columns, from `low` to `high`; none where both are the same."""
    runs: list[list[Second]] = []
    before: Second | None = None
    for second in sorted(seconds, key=lambda one: one.at_s):
        if low(second) != high(second):
            if not runs or before is None or before.at_s + 1 != second.at_s:
                runs.append([])
            runs[-1].append(second)
            before = second
    return " ".join(_outline(run, low, high, scale) for run in runs)


def _outline(
    run: Sequence[Second],
    low: Callable[[Second], float],
    high: Callable[[Second], float],
    scale: Scale,
) -> str:
    edges = [(second, scale.x(second.at_s), scale.x(second.at_s + 1)) for second in run]
    there = [f"V{high(second):.1f} H{right}" for second, _, right in edges]
    back = [f"V{low(second):.1f} H{left}" for second, left, _ in reversed(edges)]
    return f"M{edges[0][1]} {low(run[0]):.1f} {' '.join([*there, *back])} Z"


def text_width(text: str, font: int) -> float:
    """About how wide a text is."""
    return len(text) * font * _LETTER_WIDTH


def shortened(text: str, room: float, font: int) -> str:
    """As much of a text as there is room for."""
    if text_width(text, font) <= room:
        return text
    return text[: max(0, int(room / (font * _LETTER_WIDTH)) - 1)].rstrip() + "\u2026"


def ticks_of(scale: Scale) -> list[tuple[float, str]]:
    """Places of round seconds, far enough apart."""
    fitting = [step for step in _STEPS_S if scale.x(step) - scale.x(0) >= scale.size.tick]
    step = fitting[0] if fitting else round(scale.end_s)
    marks = range(0, int(scale.end_s) + 1, max(step, 1))
    return [(scale.x(at), f"{number(at)}" + (" s" if at == 0 else "")) for at in marks]
