"""The projection of one partition of license-events: load, fold, apply, and never guess.

What it keeps at hand is right at exactly one position. It is dropped when the partition is given
away or assigned, at any mismatch, and at any error of the script; then the store says where to go
on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from ledger.event_log.port import Topic
from projector.folding import LostRecordError, elapsed_after, fold_batch
from projector.loaded import Documents, share
from projector.logs import say
from projector.metrics import Metrics
from projector.read_model.keys import FROZEN, Keys
from projector.read_model.port import Batch, LevelMark, ReadModel
from projector.reading import TROUBLE, Entry, LogRecord, Reader, Reading
from projector.session import Cursor, Session, Stopped
from projector.told import Told
from projector.views.documents import Head, read_head

CHUNK_RECORDS: Final = 500
_FROZEN_SHOWN_MAX: Final = 10_000

_log: Final = logging.getLogger(__name__)


class Projection(Session):
    """One assigned partition of license-events.

    `check_log`: compares the partition's genesis record; raises `Stopped` where it is foreign.
    """

    topic = Topic.LICENSE_EVENTS.value

    def __init__(
        self,
        partition: int,
        cursor: Cursor,
        metrics: Metrics,
        model: ReadModel,
        reader: Reader,
        check_log: Callable[[int], Awaitable[None]],
    ) -> None:
        super().__init__(partition, cursor, metrics)
        self._model = model
        self._reader = reader
        self._check_log = check_log
        self._keys = Keys(partition)
        self._documents = self._none_at_hand()
        self._head = Head()
        self._recognized = False
        self._lost_at: int | None = None
        self._careful = False
        self._pending: LevelMark | None = None
        self._told = Told(metrics)

    @property
    def sure(self) -> bool:
        """Whether it knows where the store stands, and that the log is the one folded there."""
        known = self.position is not None and self._recognized
        return known and not self._doubted and self.stopped is None

    def pend(self, mark: LevelMark) -> None:
        """Store level-at with the batch that reaches the mark's end, if it isn't reached before."""
        if self._pending is None or self._pending.end <= (self.position or 0):
            self._pending = mark

    async def _stored_position(self) -> int:
        await self._check_log(self.partition)
        [document] = await self._model.get([self._keys.head])
        frozen = self._keys.set_aside(FROZEN)
        listed = await self._model.fronts({frozen: _FROZEN_SHOWN_MAX})
        self._metrics.frozen.labels(str(self.partition)).set(len(listed[frozen]))
        self._documents = self._none_at_hand()
        self._head = Head() if document is None else read_head(document)
        return self._head.position

    def _none_at_hand(self) -> Documents:
        return Documents(self._keys, share(self._reader.partitions))

    def _start_reading(self, position: int) -> None:
        # The last folded record is read once more: it tells this log from another one.
        self._recognized = position == 0
        self._cursor.seek(max(0, position - 1))

    def _wanted(self) -> tuple[int, ...]:
        position = self.position or 0
        return (position, position - 1)

    async def _work(self, records: Sequence[LogRecord]) -> None:
        if not self._recognized:
            records = self._recognize(records)
        for at in range(0, len(records), CHUNK_RECORDS):
            if self.ended or self._doubted:
                return
            if not await self._fold(records[at : at + CHUNK_RECORDS]):
                return

    def _recognize(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Compare the last folded record with what the head holds of it, and leave it out."""
        last = records[0]
        expected = self._head.position - 1
        if last.offset != expected or last.timestamp != self._head.timestamp_ms:
            raise Stopped(
                "log-replaced",
                f"the record at offset {expected} isn't the one that was folded: another log, or "
                "one restored to an older state",
            )
        self._recognized = True
        return records[1:]

    async def _fold(self, records: Sequence[LogRecord]) -> bool:
        """Fold a chunk into as many batches as it takes; False: look where the store stands."""
        reading = self._reader.read(records)
        await self._load(reading)
        try:
            done = await self._write_all(reading.entries)
        except LostRecordError as lost:
            return self._look_again(lost)
        if done and reading.unknown_rules is not None:
            raise Stopped("unknown-rules", str(reading.unknown_rules))
        return done

    async def _write_all(self, entries: Sequence[Entry]) -> bool:
        while entries:
            try:
                folding = fold_batch(
                    entries, self._head, self._documents, self.partition, careful=self._careful
                )
            except (*TROUBLE, LostRecordError):
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the record to blame is looked for
                return self._with_care()
            if not await self._apply(folding.batch):
                return False
            self._told.tell(self.partition, folding.notes)
            entries = entries[folding.taken :]
        self._careful = False
        self._lost_at = None
        return True

    async def _load(self, reading: Reading) -> None:
        """Have at hand all that the reading names; mostly one round trip."""
        documents, model = self._documents, self._model
        documents.begin()
        elapsed_ms = elapsed_after(reading.entries, self._head)
        fronts = documents.fronts(reading, elapsed_ms)
        missing = documents.missing(reading)
        if fronts:
            values, _ = await asyncio.gather(model.get(missing), self._load_fronts(fronts))
        else:
            values = await model.get(missing)
        documents.take(reading, values)
        await self._load_fronts(documents.fronts(reading, elapsed_ms))
        while fronts := documents.more_fronts(reading, elapsed_ms):
            await self._load_fronts(fronts)

    async def _load_fronts(self, wanted: dict[str, int]) -> None:
        if not wanted:
            return
        sets = {self._keys.commands(id_): count for id_, count in wanted.items()}
        self._documents.take_fronts(wanted, await self._model.fronts(sets))

    async def _apply(self, batch: Batch) -> bool:
        """Write a batch; False where the store stands elsewhere."""
        mark = self._pending
        if mark is not None and mark.end <= batch.end:
            batch = Batch(
                partition=batch.partition,
                start=batch.start,
                end=batch.end,
                head=replace(batch.head, level_at_ms=mark.at_ms),
                strings=batch.strings,
                sorted_sets=batch.sorted_sets,
                changed=batch.changed,
            )
            self._pending = None
        elsewhere = await self._model.apply(batch)
        if elsewhere is not None:
            self._metrics.mismatches.inc()
            say(
                _log,
                logging.WARNING,
                "the replica stands elsewhere, nothing was written",
                partition=self.partition,
                start=batch.start,
                stored=elsewhere,
            )
            self._doubted = True
            return False
        self._head = batch.head
        self.position = batch.end
        self._metrics.batches.inc()
        self._metrics.position.labels(str(self.partition)).set(batch.end)
        return True

    def _with_care(self) -> bool:
        """Something failed that no single record was blamed for: fold again, record by record."""
        if self._careful:
            _log.exception("a batch can't be folded")
            raise Stopped("unfoldable", "a batch can't be folded, and no record is to blame")
        _log.exception("a batch failed, it is folded again record by record")
        self._careful = True
        self._doubted = True
        return False

    def _look_again(self, lost: LostRecordError) -> bool:
        """A gap seen twice at one place is a lost record."""
        if self._lost_at == lost.expected:
            raise Stopped("lost-record", f"the log lost records: {lost}")
        self._lost_at = lost.expected
        self._doubted = True
        return False
