"""One replica as a worker reads it: every value beside the position and the generation it is of."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from api.standing import Standing
from projector.read_model.asked import Values
from projector.read_model.keys import Keys, names_of
from projector.read_model.wire import Away
from projector.views.documents import Head, read_head

Names = Callable[[Keys], Sequence[str]]


class Reading(Struct, frozen=True, kw_only=True):
    """Values of one partition from one replica, all of the same moment.

    `position`: the next offset that it will fold. `behind`: this worker has seen a higher one, so
    what isn't there may be there by now.
    """

    values: Sequence[bytes | None]
    partition: int
    position: int
    age_ms: int
    source: str
    behind: bool


class Asked(NamedTuple):
    """What was asked of a replica: of which generation, and what was known of it then.

    `highest`: how far it ever was; `position`, `age_ms`: where and how old it was at the monotonic
    time `at`.
    """

    partition: int
    generation: str
    highest: int
    position: int
    age_ms: int
    at: float
    values: Awaitable[Values]


class ReadLink(Protocol):
    """What a replica is read through. Calls raise `Away`."""

    def read(self, names: Sequence[str]) -> Awaitable[Values]:
        """Values of `names`, all of one moment."""

    async def survey(self, names: Sequence[str]) -> tuple[int, float, list[bytes | None]]:
        """Replica's clock, the monotonic time at which it was so, and values."""

    async def close(self) -> None:
        """End all connections."""


class Replica:
    """One replica: how it stands, the link to it, and the `source` that answers name."""

    def __init__(self, name: str, link: ReadLink, partitions: int, *, source: str) -> None:
        self.standing: Final = Standing(name, partitions)
        self.link: Final = link
        self.source: Final = source
        self._heads: dict[int, tuple[bytes | None, Head]] = {}

    async def survey(self) -> list[int]:
        """Look at its clock and all its heads; gives the partitions that moved. Raises `Away`."""
        standing = self.standing
        names: list[str] = []
        asked = list(standing.generation)
        for partition in standing.places:
            keys = names_of(partition, asked[partition])
            names += (keys.serving, keys.head)
        before = list(standing.position)
        time_ms, at, values = await self.link.survey(names)
        standing.note_time(time_ms, at)
        heads = []
        for place, partition in enumerate(standing.places):
            serving, head = values[2 * place : 2 * place + 2]
            same = _is_serving(standing, partition, asked[partition], serving)
            heads.append(_head(head) if same else Head())
        return standing.note_heads(heads, before)

    async def read(self, partition: int, names: Names, extra: Sequence[str]) -> Reading | None:
        """Read `names` of the generation that serves; None where nothing may be said from it.

        Raises `Away`.
        """
        for _ in range(2):
            asked = self.ask(partition, names, extra)
            values = await asked.values
            if self.still_serves(asked, values):
                return self.reading(asked, values)
        return None

    def ask(self, partition: int, names: Names, extra: Sequence[str] = ()) -> Asked:
        """Ask for `names` of the generation that served last."""
        standing = self.standing
        generation = standing.generation[partition]
        keys = names_of(partition, generation)
        values = self.link.read([keys.serving, keys.head, *names(keys), *extra])
        return Asked(
            partition,
            generation,
            standing.highest(partition),
            standing.position[partition],
            standing.age_ms(partition) if standing.has_clock else sys.maxsize,
            time.monotonic(),
            values,
        )

    def still_serves(self, asked: Asked, values: Values) -> bool:
        """Whether what came is of the generation that serves; notes which one does."""
        return _is_serving(self.standing, asked.partition, asked.generation, values[0])

    def reading(self, asked: Asked, values: Values) -> Reading | None:
        """Return what was read; None where it never was level, or its clock isn't known.

        Raises `Away`.
        """
        standing, partition = self.standing, asked.partition
        head = self._head(partition, values[1])
        if not (head.position and head.level_at_ms and standing.has_clock):
            return None
        standing.note_read(partition, head)
        age_ms = standing.age_ms(partition, head.level_at_ms)
        if head.position >= asked.position:
            # It has not gone back, so it is no older than it was, whatever its clock did meanwhile.
            age_ms = min(age_ms, asked.age_ms + round((time.monotonic() - asked.at) * 1000))
        return Reading(
            values=values[2:],
            partition=partition,
            position=head.position,
            age_ms=age_ms,
            source=self.source,
            behind=head.position < asked.highest,
        )

    def _head(self, partition: int, document: bytes | None) -> Head:
        """Head of its stored form, which many reads in a row bring as it was."""
        known = self._heads.get(partition)
        if known is None or known[0] != document:
            known = self._heads[partition] = (document, _head(document))
        return known[1]


def _head(document: bytes | None) -> Head:
    """Head of its stored form; what is no head is no answer. Raises `Away`."""
    try:
        return Head() if document is None else read_head(document)
    except msgspec.DecodeError:
        raise Away("a head that can't be read") from None


def _is_serving(standing: Standing, partition: int, asked: str, serving: bytes | None) -> bool:
    """Whether the generation that was asked for is the one that serves; notes which one is.

    Others read at the same time, and may have noted another one meanwhile.
    """
    if serving is None:
        return False
    standing.generation[partition] = serving.decode()
    return asked == standing.generation[partition]
