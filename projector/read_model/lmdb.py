"""The read model in a file: the complete local copy that each API host keeps (LMDB).

One process writes, every process of the host reads while it does, and neither waits for the
other. A batch and its position are one transaction, on the disk before `apply` returns, so a
killed process or a lost power leaves the last batch whole or absent. The file has a limit.

It has no publications: who reads it looks at its heads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb
from msgspec.structs import replace

from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import (
    Batch,
    LevelMark,
    ReadModelCorruptError,
    ReadModelUnavailableError,
    Standing,
)
from projector.views.documents import Head, head_document, read_head

T = TypeVar("T")

MAX_BYTES: Final = 8 << 30
"""Limit of a file where none is set: room for millions of licenses; what isn't used takes none."""
_NAME_MAX: Final = 480
"""LMDB takes keys of 511 bytes."""
_DIGEST_BYTES: Final = 16
_READERS_MAX: Final = 126
_STRINGS: Final = b"strings"
_ORDER: Final = b"order"
_SCORES: Final = b"scores"
_LOCKS: Final = b"locks"


class LmdbReadModel:
    """A replica's store in a folder of this host. One process at a time may write to it.

    `max_bytes`: what the file may grow to; above it every write is refused and nothing is lost.
    """

    def __init__(
        self, folder: Path, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        with _translated():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = lmdb.open(
                str(folder),
                map_size=max_bytes,
                max_dbs=4,
                max_readers=_READERS_MAX,
                metasync=False,
                mode=0o600,
            )
            # Readers that were killed would keep old pages from being used again.
            self._file.reader_check()
            self._strings = self._file.open_db(_STRINGS)
            self._order = self._file.open_db(_ORDER)
            self._scores = self._file.open_db(_SCORES)
            self._locks = self._file.open_db(_LOCKS)
        self._clock = clock

    async def get(self, keys_: Sequence[str]) -> Sequence[bytes | None]:
        """Values of `keys_`, None where there is none; of a lock its owner."""
        with _translated(), self._file.begin() as read:
            return [
                self._owner(read, key) or read.get(_name(key), db=self._strings) for key in keys_
            ]

    async def fronts(self, counts: Mapping[str, int]) -> Mapping[str, list[tuple[bytes, int]]]:
        """First members of sorted sets with their scores."""
        with _translated(), self._file.begin() as read:
            return {key: self._front(read, key, count) for key, count in counts.items()}

    async def apply(self, batch: Batch) -> int | None:
        """Write the batch if the stored position is its start; else give the stored position."""
        return await self._write(lambda write: self._apply(write, batch))

    async def level(self, marks: Sequence[LevelMark]) -> Sequence[Standing]:
        """Store level-at of every mark whose end was reached, never backwards."""
        if not marks:
            return ()
        return await self._write(lambda write: [self._leveled(write, mark) for mark in marks])

    async def take_over(
        self, partition: int, start: int, end: int, data_keys: Mapping[str, bytes]
    ) -> int | None:
        """Write data keys of the records [start, end) as `apply` writes a batch."""
        return await self._write(
            lambda write: self._take_over(write, partition, start, end, data_keys)
        )

    async def put(self, key: str, value: bytes) -> None:
        """Write one key."""
        await self._write(lambda write: write.put(_name(key), value, db=self._strings))

    async def time_ms(self) -> int:
        """The host's clock, in milliseconds since 1970."""
        return int(self._clock() * 1000)

    async def hold(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lock for `ttl_ms`; False: another owner has it."""
        return await self._write(lambda write: self._hold(write, name, owner, ttl_ms))

    async def release(self, name: str, owner: str) -> None:
        """Give a lock back, if `owner` still has it."""
        await self._write(lambda write: self._release(write, name, owner))

    async def close(self) -> None:
        """Close the file."""
        self._file.close()

    async def _write(self, work: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Do work in one transaction, beside the event loop: the disk may take its time."""

        def written() -> T:
            with _translated(), self._file.begin(write=True) as write:
                return work(write)

        return await asyncio.to_thread(written)

    def _apply(self, write: lmdb.Transaction[bytes], batch: Batch) -> int | None:
        names = Keys(batch.partition, batch.generation)
        stored = self._head(write, names)
        if stored.position != batch.start:
            return stored.position
        for key in batch.sorted_sets:
            if write.get(_name(key), db=self._strings) is not None:
                raise ReadModelCorruptError("a key of the read model holds another type")
        level_at_ms = batch.head.level_at_ms
        if level_at_ms < stored.level_at_ms <= self._clock() * 1000:
            level_at_ms = stored.level_at_ms
        self._put_head(write, names, replace(batch.head, level_at_ms=level_at_ms))
        write.put(
            _name(keys.serving(batch.partition)),
            batch.generation.encode(),
            db=self._strings,
            overwrite=False,
        )
        for key, value in batch.strings.items():
            if value is None:
                write.delete(_name(key), db=self._strings)
            else:
                write.put(_name(key), value, db=self._strings)
        for key, members in batch.sorted_sets.items():
            for member, score in members.items():
                self._write_member(write, key, _bytes(member), score)
        return None

    def _write_member(
        self, write: lmdb.Transaction[bytes], key: str, member: bytes, score: int | None
    ) -> None:
        set_ = _digest(key.encode())
        name = set_ + _short(member)
        old = write.get(name, db=self._scores)
        if old is not None:
            write.delete(set_ + old + _short(member), db=self._order)
        if score is None:
            write.delete(name, db=self._scores)
            return
        packed = score.to_bytes(8, "big")
        write.put(name, packed, db=self._scores)
        write.put(set_ + packed + _short(member), member, db=self._order)

    def _front(
        self, read: lmdb.Transaction[bytes], key: str, count: int
    ) -> list[tuple[bytes, int]]:
        set_ = _digest(key.encode())
        found: list[tuple[bytes, int]] = []
        with read.cursor(self._order) as cursor:
            there = cursor.set_range(set_)
            while there and len(found) < count:
                name, member = cursor.item()
                if not name.startswith(set_):
                    break
                score = name[_DIGEST_BYTES : _DIGEST_BYTES + 8]
                found.append((member, int.from_bytes(score, "big")))
                there = cursor.next()
        return found

    def _leveled(self, write: lmdb.Transaction[bytes], mark: LevelMark) -> Standing:
        names = Keys(mark.partition, mark.generation)
        head = self._head(write, names)
        later = mark.at_ms > head.level_at_ms or head.level_at_ms > self._clock() * 1000
        known = write.get(_name(names.head), db=self._strings) is not None
        if known and head.position >= mark.end and later:
            head = replace(head, level_at_ms=mark.at_ms)
            self._put_head(write, names, head)
        data_keys = write.get(_name(keys.data_keys_position(mark.partition)), db=self._strings)
        serving = write.get(_name(keys.serving(mark.partition)), db=self._strings)
        return Standing(
            position=head.position,
            data_keys=int(data_keys or b"0"),
            level_at_ms=head.level_at_ms,
            serving=(serving or b"").decode(),
        )

    def _take_over(
        self,
        write: lmdb.Transaction[bytes],
        partition: int,
        start: int,
        end: int,
        data_keys: Mapping[str, bytes],
    ) -> int | None:
        name = _name(keys.data_keys_position(partition))
        position = int(write.get(name, db=self._strings) or b"0")
        if position != start:
            return position
        write.put(name, str(end).encode(), db=self._strings)
        for key, value in data_keys.items():
            write.put(_name(key), value, db=self._strings)
        return None

    def _hold(self, write: lmdb.Transaction[bytes], name: str, owner: str, ttl_ms: int) -> bool:
        now_ms = int(self._clock() * 1000)
        holder = self._owner(write, name)
        if holder is not None and holder != owner.encode():
            return False
        lock = b"%d %d %b" % (now_ms, now_ms + ttl_ms, owner.encode())
        write.put(_name(name), lock, db=self._locks)
        return True

    def _release(self, write: lmdb.Transaction[bytes], name: str, owner: str) -> None:
        if self._owner(write, name) == owner.encode():
            write.delete(_name(name), db=self._locks)

    def _owner(self, read: lmdb.Transaction[bytes], name: str) -> bytes | None:
        """Owner of a lock; None where it expired, or was taken in a future that isn't any more."""
        lock = read.get(_name(name), db=self._locks)
        if lock is None:
            return None
        since, until, owner = lock.split(b" ", 2)
        return owner if int(since) <= int(self._clock() * 1000) < int(until) else None

    def _head(self, read: lmdb.Transaction[bytes], names: Keys) -> Head:
        document = read.get(_name(names.head), db=self._strings)
        return Head() if document is None else read_head(document)

    def _put_head(self, write: lmdb.Transaction[bytes], names: Keys, head: Head) -> None:
        write.put(_name(names.head), head_document(head), db=self._strings)


class LmdbReader:
    """Reads a local copy while another process writes it; opens it once it is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: lmdb.Environment | None = None
        self._strings: Any = None  # its type has no public name

    def read(self, names: Sequence[str]) -> list[bytes | None]:
        """Values of `names`, all of the same moment. Raises `ReadModelUnavailableError`."""
        with _translated():
            try:
                return self._read(names)
            except lmdb.MapResizedError:
                # Its limit was raised since it was opened.
                self.close()
                return self._read(names)

    def _read(self, names: Sequence[str]) -> list[bytes | None]:
        with self._opened().begin(db=self._strings) as read:
            return [read.get(_name(name)) for name in names]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> lmdb.Environment:
        if self._file is None:
            if not (self._folder / "data.mdb").exists():
                raise ReadModelUnavailableError("there is no local copy yet")
            file = lmdb.open(
                str(self._folder),
                # As large as the writer may make it: with a size of its own it would be refused
                # as soon as the file is larger.
                map_size=0,
                readonly=True,
                create=False,
                max_dbs=4,
                max_readers=_READERS_MAX,
            )
            try:
                self._strings = file.open_db(_STRINGS, create=False)
            except lmdb.Error:
                file.close()
                raise
            self._file = file
        return self._file


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except lmdb.MapFullError:
        raise ReadModelUnavailableError(
            "its file has reached its limit (LEDGER_LOCAL_COPY_MAX_MB)"
        ) from None
    except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
        raise ReadModelCorruptError(
            f"its file is no local copy ({type(error).__name__}): move it away, it is made anew"
        ) from None
    except (lmdb.Error, OSError) as error:
        raise ReadModelUnavailableError(f"its file fails ({error})") from None


def _name(key: str) -> bytes:
    return _short(key.encode())


def _short(name: bytes) -> bytes:
    """A name that LMDB takes: what is too long ends in a digest."""
    if len(name) <= _NAME_MAX - _DIGEST_BYTES - 8:
        return name
    kept = _NAME_MAX - 2 * _DIGEST_BYTES - 8
    return name[:kept] + _digest(name)


def _digest(name: bytes) -> bytes:
    return blake2b(name, digest_size=_DIGEST_BYTES).digest()


def _bytes(member: str | bytes) -> bytes:
    return member.encode() if isinstance(member, str) else member
