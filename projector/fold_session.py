"""A session that folds: what licenses and the catalog have in common.

It keeps a head, and what a subclass has at hand, right at exactly one position. All is dropped when
the partition is given away or assigned, at any mismatch, and at any error of the script; then the
store says where to go on.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace as replace_batch
from typing import Final

from msgspec.structs import replace

from ledger.event_log import chain
from projector.folding import LostRecordError
from projector.logs import say
from projector.metrics import Metrics
from projector.read_model.keys import CATALOG, FIRST_GENERATION, Keys, names_of
from projector.read_model.port import Batch, LevelMark, ReadModel
from projector.reading import LogRecord
from projector.session import Cursor, Session, Stopped
from projector.told import Told
from projector.views.digests import CUT_EVERY, Digests, digests_at
from projector.views.documents import Head, read_head

Pick = Callable[[str], str]

_log: Final = logging.getLogger(__name__)


def the_one_that_serves(serving: str) -> str:
    """Pick that one."""
    return serving


class FoldSession(Session):
    """One assigned partition of an event topic.

    `place`: its number in the store, `CATALOG` for the catalog's one partition. `check_log`:
    compares the genesis record of a place; raises `Stopped` where it is foreign. `pick`: of the
    generation that serves, the one to fold.
    """

    def __init__(
        self,
        place: int,
        cursor: Cursor,
        metrics: Metrics,
        model: ReadModel,
        check_log: Callable[[int], Awaitable[None]],
        pick: Pick = the_one_that_serves,
    ) -> None:
        catalog = place == CATALOG
        super().__init__(
            0 if catalog else place, cursor, metrics, label="catalog" if catalog else None
        )
        self.place = place
        self._model = model
        self._check_log = check_log
        self._pick = pick
        self._keys = Keys(place)
        self._head = Head()
        self._recognized = False
        self._lost_at: int | None = None
        self._pending: LevelMark | None = None
        self._told = Told(metrics)
        self.begins = True
        """Whether it folds a generation from the log's first record where nothing is stored."""

    @property
    def generation(self) -> str:
        """The generation that it folds."""
        return self._keys.generation

    def folds_another(self, serving: str) -> bool:
        """Whether it has to fold another generation, since `serving` does by now."""
        return bool(serving) and self._pick(serving) != self.generation

    @property
    def sure(self) -> bool:
        """Whether it knows where the store stands, and that the log is the one folded there."""
        known = self.position is not None and self._recognized
        return known and not self._doubted and self.stopped is None

    def pend(self, mark: LevelMark) -> None:
        """Store level-at with the batch that reaches the mark's end, if it isn't reached before."""
        if self._pending is None or self._pending.end <= (self.position or 0):
            self._pending = mark

    @property
    @abstractmethod
    def chunk_records(self) -> int:
        """How many records are folded at once."""

    @abstractmethod
    async def _begin(self, digests: Digests | None) -> None:
        """Drop all that was kept at hand: the head is read anew; `digests` are of its position."""

    @abstractmethod
    async def _fold(self, records: Sequence[LogRecord]) -> bool:
        """Fold a chunk into as many batches as it takes; False: look where the store stands."""

    async def _stored_position(self) -> int:
        await self._check_log(self.place)
        [serving] = await self._model.get([self._keys.serving])
        generation = self._pick((serving or FIRST_GENERATION.encode()).decode())
        self._keys = names_of(self.place, generation)
        head, digests = await self._model.get([self._keys.head, self._keys.digests])
        if head is None and not self.begins:
            raise Stopped(
                "generation-gone", f"generation {self.generation} is there no more: it was deleted"
            )
        self._head = Head() if head is None else read_head(head)
        await self._begin(digests_at(self._head.position, digests))
        return self._head.position

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
        at = 0
        while at < len(records):
            if self.ended or self._doubted:
                return
            # A chunk ends where digests are cut, if not before.
            end = at + min(self.chunk_records, CUT_EVERY - records[at].offset % CUT_EVERY)
            if not await self._fold(records[at:end]):
                return
            at = end

    def _recognize(self, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """Compare the last folded record with what the head holds of it, and leave it out."""
        if not _is_the_last_of(self._head, records[0]):
            raise Stopped(
                "log-replaced",
                f"the record at offset {self._head.position - 1} isn't the one that was folded: "
                "another log, or one restored to an older state",
            )
        self._recognized = True
        return records[1:]

    async def _apply(self, batch: Batch) -> bool:
        """Write a batch; False where the store stands elsewhere."""
        mark = self._pending
        if mark is not None and mark.end <= batch.end:
            batch = replace_batch(batch, head=replace(batch.head, level_at_ms=mark.at_ms))
            self._pending = None
        elsewhere = await self._model.apply(batch)
        if elsewhere is not None:
            self._metrics.mismatches.inc()
            say(
                _log,
                logging.WARNING,
                "the replica stands elsewhere, nothing was written",
                partition=self.partition,
                topic=self.topic,
                start=batch.start,
                stored=elsewhere,
            )
            self._doubted = True
            return False
        self._head = batch.head
        self.position = batch.end
        self._metrics.batches.inc()
        self._metrics.position.labels(self.label).set(batch.end)
        return True

    def _look_again(self, lost: LostRecordError) -> bool:
        """A gap seen twice at one place is a lost record."""
        if self._lost_at == lost.expected:
            raise Stopped("lost-record", f"the log lost records: {lost}")
        self._lost_at = lost.expected
        self._doubted = True
        return False


def _is_the_last_of(head: Head, record: LogRecord) -> bool:
    """Whether it is the record before the head's position, byte for byte.

    A head that an older release has stored tells only its place and time.
    """
    if record.offset != head.position - 1 or record.timestamp != head.timestamp_ms:
        return False
    if not head.before_last:
        return True
    before = bytes.fromhex(head.before_last)
    reached = chain.extend(before, record.offset, record.timestamp, record.key, record.value)
    return reached.hex() == head.chain
