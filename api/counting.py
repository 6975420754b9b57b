"""Figures of the hot path: counted in plain numbers, put into the registry's form when asked for.

A worker has one thread, so nothing here locks; a library's counter costs ten times as much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector


class Counts(Collector):
    """How often each combination of labels came; the caller sees that there are few."""

    def __init__(self, name: str, meaning: str, labels: Sequence[str]) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, times: int = 1) -> None:
        """Count one, or so many."""
        self._counts[labels] = self._counts.get(labels, 0) + times

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give what was counted."""
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Durations(Collector):
    """How long things took, by labels: how many at most each of `bounds` (seconds), and the sum."""

    def __init__(
        self, name: str, meaning: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, labels
        self._bounds: Final = bounds
        self._took: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """Take in one."""
        took = self._took.get(labels)
        if took is None:
            took = self._took[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        took[0][bisect_left(self._bounds, seconds)] += 1
        took[1][0] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give what was taken in."""
        names = [*map(str, self._bounds), "+Inf"]
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, (counts, [total]) in self._took.items():
            buckets = list(zip(names, accumulate(counts), strict=True))
            family.add_metric(labels, buckets, total)
        yield family
