"""The projection of catalog-events: load, fold, apply, and stop at what can't be folded.

Nothing is kept at hand from one chunk to the next: the catalog changes seldom.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ledger.event_log.port import Topic
from projector.catalog_folding import CatalogFolding, fold_catalog_batch
from projector.catalog_loading import load_catalog
from projector.catalog_reading import CatalogReading, read_catalog
from projector.fold_session import FoldSession, Pick, the_one_that_serves
from projector.folding import LostRecordError, elapsed_after
from projector.metrics import Metrics
from projector.read_model.keys import CATALOG
from projector.read_model.port import BATCH_KEYS_MAX, EVENT_KEYS_MAX, ReadModel
from projector.reading import LogRecord
from projector.session import Cursor, Stopped
from projector.views.digests import Digests, Weigher

CHUNK_RECORDS: Final = BATCH_KEYS_MAX // EVENT_KEYS_MAX - 1
"""As many as surely fit into one batch."""


class CatalogProjection(FoldSession):
    """The one partition of catalog-events.

    A record that can't be decoded or folded stops it: what the rest of the catalog rests on is
    not guessed. Checks go on.
    """

    topic = Topic.CATALOG_EVENTS.value

    def __init__(
        self,
        cursor: Cursor,
        metrics: Metrics,
        model: ReadModel,
        check_log: Callable[[int], Awaitable[None]],
        weigher: Weigher,
        pick: Pick = the_one_that_serves,
    ) -> None:
        super().__init__(CATALOG, cursor, metrics, model, check_log, pick)
        self._weigher = weigher
        self._digests: Digests | None = None

    @property
    def chunk_records(self) -> int:
        """How many records are folded at once."""
        return CHUNK_RECORDS

    async def _begin(self, digests: Digests | None) -> None:
        self._digests = digests

    async def _fold(self, records: Sequence[LogRecord]) -> bool:
        reading = read_catalog(records)
        at_hand = await load_catalog(
            self._model, self._keys, reading, elapsed_after(reading.entries, self._head)
        )
        at_hand.digests = self._digests
        try:
            folding = fold_catalog_batch(reading, self._head, at_hand, self._keys, self._weigher)
        except LostRecordError as lost:
            return self._look_again(lost)
        if folding.batch.end > folding.batch.start:
            if not await self._apply(folding.batch):
                return False
            self._digests = at_hand.digests
            self._told.tell(self.label, folding.notes)
            self._lost_at = None
        _stop_before(folding, reading)
        return True


def _stop_before(folding: CatalogFolding, reading: CatalogReading) -> None:
    """Raise `Stopped` where the fold ended before a record that it can't take."""
    if folding.poison is not None:
        raise Stopped(
            "catalog-poison",
            f"the record at offset {folding.poison} of the catalog can't be folded",
        )
    if reading.unknown_rules is not None:
        raise Stopped("unknown-rules", str(reading.unknown_rules))
