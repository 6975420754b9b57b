"""Counting what is done: by builders, and by the live fold of what fits none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from projector.rebuild.__main__ import Report
from projector.rebuild.watching import Watch
from projector.views.documents import Head


class Tally:
    """Tells a watch of what was done. `ends`: to where each partition is folded by builders."""

    def __init__(self, watch: Watch, ends: Sequence[int]) -> None:
        self._watch = watch
        self._ends = ends
        self._built: dict[int, Report] = {}
        self._folded_on: dict[int, int] = {}

    def built(self, report: Report) -> None:
        """Take in what a builder says."""
        before = self._built.get(report.partition, Report(partition=report.partition))
        if report.too_large:
            # Nothing of it is there: the live fold does it, and says how far it is.
            self._folded_on[report.partition] = 0
            self._watch.too_large = tuple(sorted(self._folded_on))
            self._watch.work.events -= before.folded
            return
        self._built[report.partition] = report
        self._watch.work.events += max(0, report.folded - before.folded)
        self._watch.work.written += max(0, report.written - before.written)

    def folded_on(self, heads: Mapping[int, Head]) -> None:
        """Take in how far the live fold is with what fitted no builder."""
        for place, before in self._folded_on.items():
            now = min(heads[place].position, self._ends[place])
            self._watch.work.folded_on(now - before)
            self._folded_on[place] = now

    def read(self, count: int) -> None:
        """Take in keys that were read back."""
        self._watch.work.read += count
