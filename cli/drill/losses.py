"""Launch-minutes lost: how long those who wanted to start a product could not.

A launch that fails is lost from its moment until the next second of the drill in which at least
half of the launches of that kind of client, on that side, start again; a second without a launch
of that kind says nothing. Where there is no such second, until the drill's end. A failed launch
loses one second at least, so that one which fails among many that start counts too.

Kinds of clients (`free`, `paid`) are counted apart: from the moment on when paid launches start
unchecked by order, free ones are still lost. A launch stands for one person who waits; nobody is
taken to try again, so the minutes depend on how many launches a second the drill sends.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MINUTE_S: Final = 60
LEAST_S: Final = 1.0
"""What a failed launch loses at least."""

DEFINITION: Final = (
    "A launch that fails is lost from its moment until the next second in which at least half of "
    "the launches of the same kind of client (free or paid) on the same side start again, or until "
    "the drill's end where there is none; at least one second. Seconds without such a launch say "
    "nothing, and nobody is taken to try again: the minutes grow with the launches sent a second, "
    "so they compare the two sides of one drill, not one drill with another or with the real day."
)
"""The same, for readers of a report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A launch of one side: when it was sent, by which kind of client, and whether it started."""

    at_s: float
    client: str
    started: bool


def lost_minutes(launches: Iterable[Launched], end_s: float) -> float:
    """Launch-minutes lost by the launches of one side, in a drill that ended at `end_s`."""
    by_client: defaultdict[str, list[Launched]] = defaultdict(list)
    for launch in launches:
        by_client[launch.client].append(launch)
    return sum(_lost_s(one_kind, end_s) for one_kind in by_client.values()) / MINUTE_S


def _lost_s(launches: Sequence[Launched], end_s: float) -> float:
    good = _good_seconds(launches)
    lost = 0.0
    for launch in launches:
        if not launch.started:
            at = bisect_right(good, math.floor(launch.at_s))
            until = good[at] if at < len(good) else end_s
            lost += max(LEAST_S, until - launch.at_s)
    return lost


def _good_seconds(launches: Sequence[Launched]) -> list[int]:
    """Seconds, in their order, in which at least half of the launches started."""
    sent: defaultdict[int, int] = defaultdict(int)
    started: defaultdict[int, int] = defaultdict(int)
    for launch in launches:
        second = math.floor(launch.at_s)
        sent[second] += 1
        started[second] += launch.started
    return sorted(second for second, number in sent.items() if 2 * started[second] >= number)
