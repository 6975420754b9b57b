"""The read model as a Protocol: what the projector asks of a replica's store.

    ReadModelError
    ├── ReadModelUnavailableError   away, slow, loading or full: try again later
    └── ReadModelCorruptError       a key holds what it can't hold: a person has to look

After any error of `apply` or `take_over` the batch may have been written or not: read the position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from projector.read_model.keys import FIRST_GENERATION
from projector.views.documents import Head

BATCH_KEYS_MAX: Final = 2000
"""A batch writes fewer keys: a script of 100,000 stops a Redis for a third of a second."""
EVENT_KEYS_MAX: Final = 16
"""An event writes at most this many keys; a sorted set counts as one."""


class ReadModelError(Exception):
    """The store did not do what was asked."""


class ReadModelUnavailableError(ReadModelError):
    """The store is away, slow, loading or full; its text says which."""


class ReadModelCorruptError(ReadModelError):
    """A key holds another type than it must; nothing of the batch was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the records [start, end) of a partition made: written all at once or not at all.

    `generation`: that the keys are of. `strings`: value by key, None deletes it. `sorted_sets`: by
    key the score of each member, None removes it. `changed`: the licenses to name in the
    publication.
    """

    partition: int
    generation: str = FIRST_GENERATION
    start: int
    end: int
    head: Head
    strings: Mapping[str, bytes | None]
    sorted_sets: Mapping[str, Mapping[str | bytes, int | None]]
    changed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMark:
    """The log of `partition` ended at `end` when the replica's clock stood at `at_ms`."""

    partition: int
    generation: str = FIRST_GENERATION
    end: int
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a partition stands in the store: positions of its fold and of its data keys, level-at.

    `serving`: the generation that serves, empty before the first batch.
    """

    position: int
    data_keys: int
    level_at_ms: int
    serving: str


class ReadModel(Protocol):
    """A replica's store. Every call is bounded in time and raises `ReadModelError`."""

    async def get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Values of `keys` (all of one partition), None where there is none."""

    async def fronts(self, counts: Mapping[str, int]) -> Mapping[str, list[tuple[bytes, int]]]:
        """First members of sorted sets of one partition with their scores, lowest score first."""

    async def apply(self, batch: Batch) -> int | None:
        """Write the batch if the stored position is its start; else give the stored position.

        All or nothing. The stored level-at stays where it is newer than the batch's. Where its
        generation serves, `<start> <end> <license> …` is published on the partition's channel.
        """

    async def level(self, marks: Sequence[LevelMark]) -> Sequence[Standing]:
        """Store level-at of every mark whose end the stored position reached.

        Never backwards; but a stored one that lies ahead of the replica's clock is no more worth
        than that clock was, and is replaced. Gives how each mark's partition stands then.
        """

    async def take_over(
        self, partition: int, start: int, end: int, data_keys: Mapping[str, bytes]
    ) -> int | None:
        """Write data keys of the records [start, end) as `apply` writes a batch.

        `data_keys`: by key name; empty where the data key was erased.
        """

    async def put(self, key: str, value: bytes) -> None:
        """Write one key."""

    async def time_ms(self) -> int:
        """The replica's own clock, in milliseconds since 1970."""

    async def hold(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lock for `ttl_ms`; False: another owner has it.

        `get` gives a lock's owner by its name, until it expires.
        """

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back, if `owner` still has it."""

    async def close(self) -> None:
        """End all connections."""
