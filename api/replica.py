"""One replica as a worker reads it: every value beside the position and the generation it is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from api.redis_link import Away
from api.standing import Standing
from projector.read_model.keys import Keys, names_of
from projector.views.documents import Head, read_head

Names = Callable[[Keys], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
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


class ReadLink(Protocol):
    """What a replica is read through. Calls raise `Away`."""

    async def read(self, names: Sequence[str]) -> list[bytes | None]:
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

    async def survey(self) -> list[int]:
        """Look at its clock and all its heads; gives the partitions that moved. Raises `Away`."""
        standing = self.standing
        names: list[str] = []
        for partition in standing.places:
            generation = standing.generation[partition]
            keys = names_of(partition, generation)
            names += (keys.serving, keys.head)
        before = list(standing.position)
        time_ms, at, values = await self.link.survey(names)
        standing.note_time(time_ms, at)
        heads = []
        for place, partition in enumerate(standing.places):
            serving, head = values[2 * place : 2 * place + 2]
            same = _is_serving(standing, partition, serving)
            heads.append(_head(head) if same else Head())
        return standing.note_heads(heads, before)

    async def read(self, partition: int, names: Names, extra: Sequence[str]) -> Reading | None:
        """Read `names` of the generation that serves; None where nothing may be said from it.

        Raises `Away`.
        """
        standing = self.standing
        highest = standing.highest(partition)
        for _ in range(2):
            generation = names_of(partition, standing.generation[partition])
            wanted = [generation.serving, generation.head, *names(generation), *extra]
            serving, head_document, *values = await self.link.read(wanted)
            if _is_serving(standing, partition, serving):
                break
        else:
            return None
        head = _head(head_document)
        if not (head.position and head.level_at_ms and standing.has_clock):
            return None
        standing.note_read(partition, head)
        return Reading(
            values=values,
            partition=partition,
            position=head.position,
            age_ms=standing.age_ms(partition, head.level_at_ms),
            source=self.source,
            behind=head.position < highest,
        )


def _head(document: bytes | None) -> Head:
    """Head of its stored form; what is no head is no answer. Raises `Away`."""
    try:
        return Head() if document is None else read_head(document)
    except msgspec.DecodeError:
        raise Away("a head that can't be read") from None


def _is_serving(standing: Standing, partition: int, serving: bytes | None) -> bool:
    """Whether the generation that was asked for is the one that serves; notes which one is."""
    if serving is None:
        return False
    asked, standing.generation[partition] = standing.generation[partition], serving.decode()
    return asked == standing.generation[partition]
