"""A ledger's history as values: each partition's records, and what each license must come to."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from functools import cached_property

from bench.history.expected import Expected
from bench.history.licensed import Licensed
from bench.history.plans import Plan, Whose
from bench.history.records import Records
from bench.history.shapes import Size
from bench.history.story import Op, Story
from ledger.domain.identifiers import partition_of
from ledger.sealing.key_ring import KeyRing

Row = tuple[bytes, bytes, int]
"""Key, value and timestamp in ms of a record."""


class History:
    """A ledger's history: pure, a function of whose it is and of its size."""

    def __init__(self, whose: Whose, size: Size) -> None:
        self.whose = whose
        self.size = size
        self.counts = size.counts()
        self._plans: tuple[Plan, ...] = whose.plans
        self._records = Records(whose, size)
        self._ring = KeyRing([whose.seal_key])

    def story(self, index: int) -> Story:
        """Begin the story of a license."""
        return Story(self.size, self._plans, index, self.counts[index])

    def expected(self, index: int) -> Expected:
        """What a check of a license must say at the history's end; takes its whole story."""
        story = self.story(index)
        while story.next() is not None:
            pass
        return story.told()

    def license_of(self, index: int) -> str:
        """Id of a license."""
        return self._records.license_of(index)

    @cached_property
    def members(self) -> list[list[tuple[int, str]]]:
        """Licenses of each partition: index and id."""
        found: list[list[tuple[int, str]]] = [[] for _ in range(self.whose.partitions)]
        for index in range(self.size.licenses):
            id_ = self.license_of(index)
            found[partition_of(id_, self.whose.partitions)].append((index, id_))
        return found

    def data_keys(self, partition: int) -> Iterator[Row]:
        """The records of a partition's data keys; how each is sealed is another each time."""
        for index, id_ in self.members[partition]:
            of = self._licensed(index, id_)
            yield (*of.key_record(self._ring, self.whose.account), self.size.until_ms)

    def events(self, partition: int) -> Iterator[Row]:
        """A partition's events in the order of time; holds the licenses that are there by then."""
        # A license opens at its issue: until then it is its first moment, and no more.
        waiting: list[tuple[int, int, Licensed | None, Op | None]] = [
            (self.story(index).now_ms, index, None, None) for index, _ in self.members[partition]
        ]
        heapq.heapify(waiting)
        ids = dict(self.members[partition])
        records = self._records
        while waiting:
            time_ms, index, of, op = waiting[0]
            if of is None:
                of = self._licensed(index, ids[index])
                op = of.story.next()
            assert op is not None, "a story begins with something"
            yield of.key, records.value(of, op), time_ms
            following = of.story.next()
            if following is None:
                heapq.heappop(waiting)
            else:
                heapq.heapreplace(waiting, (following.time_ms, index, of, following))

    def _licensed(self, index: int, id_: str) -> Licensed:
        return Licensed(self.whose, self.size.seed, index, id_, self.story(index))
