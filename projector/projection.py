"""The projection of one partition of license-events: load, fold, apply, and never guess."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ledger.event_log.port import Topic
from projector.fold_session import FoldSession
from projector.folding import LostRecordError, elapsed_after, fold_batch
from projector.loaded import Documents, share
from projector.metrics import Metrics
from projector.read_model.keys import FROZEN
from projector.read_model.port import ReadModel
from projector.reading import TROUBLE, Entry, LogRecord, Reader, Reading
from projector.session import Cursor, Stopped
from projector.views.digests import Digests, Weigher

CHUNK_RECORDS: Final = 500
_FROZEN_SHOWN_MAX: Final = 10_000

_log: Final = logging.getLogger(__name__)


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
        generation: str | None = None,
    ) -> None:
        super().__init__(partition, cursor, metrics, model, check_log, generation)
        self._reader = reader
        self._weigher = weigher
        self._documents = self._none_at_hand()
        self._careful = False

    @property
    def chunk_records(self) -> int:
        """How many records are folded at once."""
        return CHUNK_RECORDS

    async def _begin(self, digests: Digests | None) -> None:
        frozen = self._keys.set_aside(FROZEN)
        listed = await self._model.fronts({frozen: _FROZEN_SHOWN_MAX})
        self._metrics.frozen.labels(self.label).set(len(listed[frozen]))
        self._documents = self._none_at_hand()
        self._documents.digests = digests

    def _none_at_hand(self) -> Documents:
        return Documents(self._keys, self._weigher, share(self._reader.partitions))

    async def _fold(self, records: Sequence[LogRecord]) -> bool:
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
                    entries, self._head, self._documents, self._keys, careful=self._careful
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
        if due := documents.due(reading, elapsed_ms):
            names = [self._keys.command(*command) for command in due]
            documents.take_due(due, await model.get(names))

    async def _load_fronts(self, wanted: dict[str, int]) -> None:
        if not wanted:
            return
        sets = {self._keys.commands(id_): count for id_, count in wanted.items()}
        self._documents.take_fronts(wanted, await self._model.fronts(sets))

    def _with_care(self) -> bool:
        """Something failed that no single record was blamed for: fold again, record by record."""
        if self._careful:
            _log.exception("a batch can't be folded")
            raise Stopped("unfoldable", "a batch can't be folded, and no record is to blame")
        _log.exception("a batch failed, it is folded again record by record")
        self._careful = True
        self._doubted = True
        return False
