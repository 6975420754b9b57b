"""The projection of one partition of license-events: load, fold, apply, and never guess."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from ledger.event_log.discards import NONE
from ledger.event_log.port import LostRecords, Topic
from projector.fold_session import FoldSession, Pick, the_one_that_serves
from projector.folding import LostRecordError, elapsed_after, fold_batch
from projector.loaded import Documents, share
from projector.loading import load
from projector.metrics import Metrics
from projector.quarantine import Quarantine
from projector.read_model.keys import FROZEN
from projector.read_model.port import Batch, ReadModel
from projector.reading import TROUBLE, Entry, LogRecord, Reader
from projector.retry_orders import RetryOrder
from projector.session import Cursor, Stopped
from projector.views.digests import Digests, Weigher

CHUNK_RECORDS: Final = 500
_FROZEN_SHOWN_MAX: Final = 10_000

_log: Final = logging.getLogger(__name__)


class DiscardSource(Protocol):
    """Who knows which records are discarded."""

    def of(self, partition: int) -> frozenset[int]:
        """Offsets in a partition; the same object until one is added."""
        ...

    async def refresh(self) -> None:
        """Know all that there are by now. Raises `LogUnavailable`."""
        ...


class NothingDiscarded:
    """Where no record was ever discarded."""

    def of(self, partition: int) -> frozenset[int]:
        """Return none."""
        del partition
        return NONE

    async def refresh(self) -> None:
        """Nothing to do."""


class Projection(FoldSession):
    """One assigned partition of license-events."""

    topic = Topic.LICENSE_EVENTS.value

    def __init__(  # noqa: PLR0913, PLR0917 - all that a session works with
        self,
        partition: int,
        cursor: Cursor,
        metrics: Metrics,
        model: ReadModel,
        reader: Reader,
        check_log: Callable[[int], Awaitable[None]],
        weigher: Weigher,
        pick: Pick = the_one_that_serves,
        *,
        discards: DiscardSource | None = None,
    ) -> None:
        super().__init__(partition, cursor, metrics, model, check_log, pick)
        self._reader = reader
        self._weigher = weigher
        self._discards = discards or NothingDiscarded()
        self._documents = self._none_at_hand()
        self._careful = False
        self._knows_discards = False
        self._quarantine = Quarantine(partition, model, metrics, self._write)

    @property
    def chunk_records(self) -> int:
        """How many records are folded at once."""
        return CHUNK_RECORDS

    @property
    def has_frozen(self) -> bool:
        """Whether any license of the partition is frozen, as far as is known."""
        return bool(self._quarantine.waits.frozen)

    def look_up(self, order: RetryOrder | None = None) -> None:
        """See whether more is discarded, and do what a person orders."""
        if order is not None:
            self._quarantine.waits.take_order(order)
        if self.has_errand():
            self._news.set()

    async def _begin(self, digests: Digests | None) -> None:
        if not self._knows_discards:
            # Nothing is folded before all is known that was discarded by then.
            try:
                await self._discards.refresh()
            except LostRecords as error:
                raise Stopped("log-replaced", str(error)) from None
            self._knows_discards = True
        self._reader.discarded = self._discards.of(self.partition)
        frozen = self._keys.set_aside(FROZEN)
        listed = (await self._model.fronts({frozen: _FROZEN_SHOWN_MAX}))[frozen]
        self._metrics.frozen.labels(self.label).set(len(listed))
        self._quarantine.waits.begin(listed, self._reader.discarded)
        self._documents = self._none_at_hand()
        self._documents.digests = digests

    def _none_at_hand(self) -> Documents:
        return Documents(self._keys, self._weigher, share(self._reader.partitions))

    async def _fold(self, records: Sequence[LogRecord]) -> bool:
        reading = self._reader.read(records)
        elapsed_ms = elapsed_after(reading.entries, self._head)
        await load(self._model, self._keys, self._documents, reading, elapsed_ms)
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
                    entries, self._head, self._documents, self._keys, careful=self._careful
                )
            except (*TROUBLE, LostRecordError):
                raise
            except Exception:  # noqa: BLE001 - whatever it is, the record to blame is looked for
                return self._with_care()
            if not await self._apply(folding.batch):
                return False
            self._told.tell(self.partition, folding.notes)
            self._quarantine.waits.frozen.update(folding.notes.poison)
            entries = entries[folding.taken :]
        self._careful = False
        self._lost_at = None
        return True

    def has_errand(self) -> bool:
        """Whether anything that is set aside is due to be folded again."""
        grown = self._discards.of(self.partition) is not self._reader.discarded
        return self.sure and (grown or self._quarantine.waits.due)

    async def _errand(self) -> None:
        """Fold again what waits of one license; or what else is due of what is set aside."""
        discarded = self._discards.of(self.partition)
        if discarded is not self._reader.discarded:
            self._reader.discarded = discarded
            self._quarantine.waits.grow(discarded, self._head.position)
        done = await self._quarantine.go_on(self._head, self._documents, self._keys)
        if done and self._pick is the_one_that_serves:
            await self._quarantine.answer()
        elif done:
            # Whoever folds what serves answers.
            self._quarantine.waits.order = None

    async def _write(self, batch: Batch | None) -> bool:
        """Write what came of records set aside; None: their fold failed, look where it stands."""
        if batch is None:
            self._doubted = True
            return False
        return await self._apply(batch)

    def _with_care(self) -> bool:
        """Something failed that no single record was blamed for: fold again, record by record."""
        if self._careful:
            _log.exception("a batch can't be folded")
            raise Stopped("unfoldable", "a batch can't be folded, and no record is to blame")
        _log.exception("a batch failed, it is folded again record by record")
        self._careful = True
        self._doubted = True
        return False
