"""How a replica stands, as one worker sees it: how far, how old, in service or not. No I/O.

Partitions are numbered as everywhere; the catalog's one is `CATALOG`, which is -1: the last place
of a list that has one more place than there are license partitions.

All times in milliseconds are the replica's own clock, carried by this process' monotonic clock:
age is measured on one clock, never across hosts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from projector.read_model.keys import CATALOG, FIRST_GENERATION
from projector.views.documents import Head

AGE_SLACK_MS: Final = 1_000
"""A replica that is older than the youngest one by more than this is not level."""
CLOCK_KEPT_S: Final = 10.0
"""For how long a replica's clock is carried without another look at it."""
JUMP_MS: Final = 5_000
"""A clock that is off by more, from one look to the next, was set: nothing here is as late."""


class Standing:
    """What is known of one replica's partitions.

    `position`: the next offset to be folded; 0: not known, or nothing there. `highest`: the
    highest position ever seen of it; one that went back is out of service until it is past that.
    `partitions`: how many license partitions there are; `places`: those and the catalog's.
    """

    def __init__(
        self, name: str, partitions: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name: Final = name
        self.reachable = False
        self.partitions: Final = partitions
        self.places: Final = (*range(partitions), CATALOG)
        places = len(self.places)
        self.position: Final = [0] * places
        self.generation: Final = [FIRST_GENERATION] * places
        self._level_at_ms = [0] * places
        self._highest = [0] * places
        self._out_since_ms = [0] * places
        self._monotonic = monotonic
        self._time_ms = 0
        self._time_at = float("-inf")
        self._jump_ms = 0
        self._jumped_at_ms = 0
        self._level_before_ms: list[int] = []
        self._met = False

    def note_time(self, time_ms: int, at: float) -> None:
        """Take the replica's clock as it stood at the monotonic time `at`."""
        if self.has_clock:
            carried_ms = self._time_ms + round((at - self._time_at) * 1000)
            if abs(time_ms - carried_ms) > JUMP_MS:
                self._jumped(time_ms - carried_ms, carried_ms)
        self._time_ms = time_ms
        self._time_at = at

    def _jumped(self, jump_ms: int, at_ms: int) -> None:
        """Note that the clock was set when it showed `at_ms`: what it has marked is of before."""
        self._jump_ms = jump_ms
        self._jumped_at_ms = at_ms
        self._level_before_ms = list(self._level_at_ms)
        self._out_since_ms[:] = [since and since + jump_ms for since in self._out_since_ms]

    @property
    def now_ms(self) -> int:
        """The replica's clock now."""
        return self._time_ms + round((self._monotonic() - self._time_at) * 1000)

    @property
    def has_clock(self) -> bool:
        """Whether its clock was looked at lately enough to be carried."""
        return self._monotonic() - self._time_at <= CLOCK_KEPT_S

    def note_heads(self, heads: Sequence[Head], before: Sequence[int]) -> list[int]:
        """Take the heads of all places, which were asked for when positions were `before`.

        A position below what it was then went back; one below what it became since is only late.
        Gives the partitions whose standing may have changed.
        """
        came_back = not self.reachable
        self.reachable = True
        if came_back and self._met:
            self.leave(self.places)
        self._met = True
        changed = [
            partition
            for partition, head in zip(self.places, heads, strict=True)
            if self._note_head(partition, head, before[partition])
        ]
        return list(self.places) if came_back else changed

    def _note_head(self, partition: int, head: Head, before: int) -> bool:
        position = head.position
        if position >= before:
            position = max(position, self.position[partition])
        same = (self.position[partition], self._level_at_ms[partition])
        self.position[partition] = position
        self._highest[partition] = max(self._highest[partition], position)
        self._level_at_ms[partition] = head.level_at_ms
        return same != (position, head.level_at_ms)

    def note_applied(self, partition: int, position: int) -> bool:
        """Take a publication: it has folded up to `position`. Gives whether that is news."""
        if position <= self.position[partition] or not self.reachable:
            return False
        self.position[partition] = position
        self._highest[partition] = max(self._highest[partition], position)
        return True

    def note_read(self, partition: int, head: Head) -> None:
        """Take the head that came with a read of one partition."""
        self._highest[partition] = max(self._highest[partition], head.position)

    def lose(self) -> None:
        """Forget where it is: it doesn't answer, and may come back as another or an older one."""
        self.reachable = False
        self.position[:] = [0] * len(self.places)

    def leave(self, partitions: Sequence[int]) -> None:
        """Go out of service in `partitions` until it was level again after this moment."""
        now_ms = self.now_ms
        for partition in partitions:
            self._out_since_ms[partition] = now_ms

    def age_ms(self, partition: int, level_at_ms: int | None = None) -> int:
        """How long ago it had folded to the log's end.

        What was marked before its clock was set is told by the clock as it was. A level-at in the
        future all the same is as far off.
        """
        if level_at_ms is None:
            level_at_ms = self._level_at_ms[partition]
        now_ms = self.now_ms
        if self._jump_ms and self._is_of_before(partition, level_at_ms, now_ms):
            level_at_ms += self._jump_ms
        return abs(now_ms - level_at_ms)

    def _is_of_before(self, partition: int, level_at_ms: int, now_ms: int) -> bool:
        """Whether a mark was made before the clock was set."""
        if level_at_ms == self._level_before_ms[partition]:
            return True
        if self._jump_ms > 0:
            return level_at_ms <= self._jumped_at_ms
        return level_at_ms > now_ms

    def has_level(self, partition: int) -> bool:
        """Whether it is reachable and ever was level: before that it must say nothing."""
        return self.reachable and self.position[partition] > 0 and self._level_at_ms[partition] > 0

    def in_service(self, partition: int) -> bool:
        """Whether verdicts wait for it and checks may be answered from it."""
        return (
            self.has_level(partition)
            and self.position[partition] >= self._highest[partition]
            and self._level_at_ms[partition] >= self._out_since_ms[partition]
        )

    @property
    def serving(self) -> int:
        """How many partitions it serves."""
        return sum(self.in_service(partition) for partition in range(self.partitions))

    @property
    def oldest_ms(self) -> int | None:
        """Age of its oldest partition; None where one never was level, or it does not answer."""
        partitions = range(self.partitions)
        if not all(self.has_level(partition) for partition in partitions):
            return None
        return max(self.age_ms(partition) for partition in partitions)

    def highest(self, partition: int) -> int:
        """Return the highest position ever seen of it."""
        return self._highest[partition]


def in_order(standings: Sequence[Standing], partition: int) -> Iterator[Standing]:
    """Replicas in the order in which a check of the partition tries them.

    First those in service and level, A before B; then those in service; then what was level once,
    the furthest first; last what did not answer lately.
    """
    rest = standings
    first = standings[0]
    if first.in_service(partition) and first.age_ms(partition) <= AGE_SLACK_MS:
        # It is level, however young another one is; nearly always nobody asks for the rest.
        yield first
        rest = standings[1:]
    serving = [standing for standing in standings if standing.in_service(partition)]
    youngest_ms = min((standing.age_ms(partition) for standing in serving), default=0)

    def rank(standing: Standing) -> tuple[int, int]:
        if standing.in_service(partition):
            level = standing.age_ms(partition) <= youngest_ms + AGE_SLACK_MS
            return (0 if level else 1, 0)
        if standing.has_level(partition):
            return (2, -standing.position[partition])
        return (3, 0)

    yield from sorted(rest, key=rank)


def highest_seen(standings: Sequence[Standing], partition: int) -> int:
    """Highest position of the partition that this worker has seen anywhere."""
    highest = 0
    for standing in standings:
        highest = max(highest, standing.highest(partition))
    return highest
