"""The read model in memory: the same contract, for tests and for folds that nobody keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import Batch, LevelMark, ReadModelCorruptError, Standing
from projector.views.documents import Head, head_document, read_head


class MemoryReadModel:
    """A replica's store in two dictionaries.

    `strings` and `sorted_sets` hold it all (a sorted set: score by member), `published` the
    publications as (channel, message).
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.strings: dict[str, bytes] = {}
        self.sorted_sets: dict[str, dict[bytes, int]] = {}
        self.published: list[tuple[str, str]] = []
        self._clock = clock
        self._locks: dict[str, tuple[str, float]] = {}

    async def get(self, keys_: Sequence[str]) -> Sequence[bytes | None]:
        """Values of `keys_`, None where there is none; of a lock its owner."""
        return [self._owner(key) or self.strings.get(key) for key in keys_]

    async def fronts(self, counts: Mapping[str, int]) -> Mapping[str, list[tuple[bytes, int]]]:
        """First members of sorted sets with their scores."""
        return {
            key: sorted(
                self.sorted_sets.get(key, {}).items(), key=lambda entry: (entry[1], entry[0])
            )[:count]
            for key, count in counts.items()
        }

    async def apply(self, batch: Batch) -> int | None:
        """Write the batch if the stored position is its start; else give the stored position."""
        names = Keys(batch.partition, batch.generation)
        stored = self._head(names)
        if stored.position != batch.start:
            return stored.position
        if any(key in self.strings for key in batch.sorted_sets):
            raise ReadModelCorruptError("a key of the read model holds another type")
        level_at_ms = batch.head.level_at_ms
        if level_at_ms < stored.level_at_ms <= self._clock() * 1000:
            level_at_ms = stored.level_at_ms
        self.strings[names.head] = head_document(replace(batch.head, level_at_ms=level_at_ms))
        generation = batch.generation.encode()
        serving = self.strings.setdefault(keys.serving(batch.partition), generation)
        for key, value in batch.strings.items():
            if value is None:
                self.strings.pop(key, None)
            else:
                self.strings[key] = value
        for key, members in batch.sorted_sets.items():
            self._write_members(key, members)
        if serving == generation:
            message = " ".join((f"{batch.start} {batch.end}", *batch.changed))
            self.published.append((keys.positions(batch.partition), message))
        return None

    async def level(self, marks: Sequence[LevelMark]) -> Sequence[Standing]:
        """Store level-at of every mark whose end was reached, never backwards."""
        return [self._leveled(mark) for mark in marks]

    async def take_over(
        self, partition: int, start: int, end: int, data_keys: Mapping[str, bytes]
    ) -> int | None:
        """Write data keys of the records [start, end) as `apply` writes a batch."""
        key = keys.data_keys_position(partition)
        position = int(self.strings.get(key, b"0"))
        if position != start:
            return position
        self.strings[key] = str(end).encode()
        self.strings.update(data_keys)
        return None

    async def put(self, key: str, value: bytes) -> None:
        """Write one key."""
        self.strings[key] = value

    async def time_ms(self) -> int:
        """The clock it was given, in milliseconds since 1970."""
        return int(self._clock() * 1000)

    async def hold(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lock for `ttl_ms`; False: another owner has it."""
        now = self._clock()
        holder, until = self._locks.get(name, (owner, now))
        if holder != owner and until > now:
            return False
        self._locks[name] = (owner, now + ttl_ms / 1000)
        return True

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back, if `owner` still has it."""
        if self._locks.get(name, ("", 0))[0] == owner:
            del self._locks[name]

    async def close(self) -> None:
        """Nothing to end."""

    def _owner(self, key: str) -> bytes | None:
        owner, until = self._locks.get(key, ("", 0))
        return owner.encode() if until > self._clock() else None

    def _head(self, names: Keys) -> Head:
        document = self.strings.get(names.head)
        return Head() if document is None else read_head(document)

    def _leveled(self, mark: LevelMark) -> Standing:
        names = Keys(mark.partition, mark.generation)
        head = self._head(names)
        known = names.head in self.strings
        later = mark.at_ms > head.level_at_ms or head.level_at_ms > self._clock() * 1000
        if known and head.position >= mark.end and later:
            head = replace(head, level_at_ms=mark.at_ms)
            self.strings[names.head] = head_document(head)
        data_keys = int(self.strings.get(keys.data_keys_position(mark.partition), b"0"))
        return Standing(
            position=head.position,
            data_keys=data_keys,
            level_at_ms=head.level_at_ms,
            serving=self.strings.get(keys.serving(mark.partition), b"").decode(),
        )

    def _write_members(self, key: str, members: Mapping[str | bytes, int | None]) -> None:
        kept = self.sorted_sets.setdefault(key, {})
        for member, score in members.items():
            name = member.encode() if isinstance(member, str) else member
            if score is None:
                kept.pop(name, None)
            else:
                kept[name] = score
        if not kept:
            del self.sorted_sets[key]
