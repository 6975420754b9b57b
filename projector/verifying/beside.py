"""What a replica holds beside a fresh fold of the log, while the replica serves and goes on.

A place (a partition, or the catalog) is folded in memory to where the replica stands. Then what
the replica holds is read in pieces, each at one moment together with its position there; the fold
goes on to exactly that position, and says what each thing that was read has to be. So everything
is compared at one position of both, and nothing has to hold still for it.

- All that the fold has is looked for in the replica: each document whole, each list's member with
  its score. So is found what is missing, or another.
- All names and all members that the replica has are asked of the fold. So is found what is too
  much.
- At last the digests that the replica keeps are compared with the fold's, summed anew over all
  documents. The replica's documents are the same byte for byte, so it is their sum as well.

It speaks for all that the log said when the place was begun, and for what was read later.

A place that differs is folded and read once more, with the discards that the log has by then: a
retry or a discard changes documents and no position. Then each result is rendered at once, so that
what can't be rendered freezes its own license, as in the live fold.
"""

from __future__ import annotations

import asyncio

from ledger.event_log.codec import UnknownRulesError
from projector.discards import Discards
from projector.folding import LostRecordError
from projector.read_model.keys import CATALOG, FIRST_GENERATION, Keys
from projector.rebuild.bulk import BulkFold
from projector.rebuild.differences import named
from projector.rebuild.rendering import UNRENDERABLE
from projector.verifying import patience
from projector.verifying.comparison import Beside, Comparison, MovedError, Tell
from projector.verifying.fresh import Fresh, FreshCatalog, FreshPartition, UnfoldableError
from projector.verifying.patience import patiently
from projector.verifying.reading import Replica, Source
from projector.views.digests import Weigher


class NotComparedError(Exception):
    """A place can't be compared; the text says why."""


class Verifying:
    """Compares one replica with the log, a place at a time: so one place is in memory at most.

    `whole`: nothing is left out, also not what is frozen in one of the two only.
    """

    def __init__(
        self,
        replica: Replica,
        source: Source,
        weigher: Weigher,
        discards: Discards,
        *,
        partitions: int,
        whole: bool = False,
    ) -> None:
        self._replica = replica
        self._source = source
        self._weigher = weigher
        self._discards = discards
        self._partitions = partitions
        self._whole = whole

    async def place(self, place: int, tell: Tell = lambda _: None) -> Beside:
        """Compare a place. `tell` is told of work: each record counts twice.

        Raises `NotComparedError`, `LogError`, `ReadModelUnavailableError`.
        """
        try:
            found = await self._tried(place, tell, careful=False)
        except UNRENDERABLE:
            # A document can't be rendered: its license is frozen where that began.
            found = None
        if found is None or not found.equal:
            found = await self._tried(place, lambda _: None, careful=True)
        return found

    async def _tried(self, place: int, tell: Tell, *, careful: bool) -> Beside:
        for _ in range(patience.TRIES):
            serving = await patiently(lambda: self._replica.serving([place]))
            await patiently(self._discards.refresh)
            keys = Keys(place, serving.get(place, FIRST_GENERATION))
            try:
                return await Comparison(
                    self._replica,
                    self._source,
                    keys,
                    self._fresh(keys, careful=careful),
                    tell,
                    whole=self._whole,
                ).run()
            except MovedError:
                await asyncio.sleep(patience.AGAIN_S)
            except (UnfoldableError, UnknownRulesError, LostRecordError) as error:
                raise NotComparedError(f"{named(place)} can't be folded here: {error}") from None
        raise NotComparedError(
            f"{named(place)} of the replica was at another place whenever it was looked at: see "
            "whether a rebuild, or another Redis, takes its turns"
        )

    def _fresh(self, keys: Keys, *, careful: bool) -> Fresh:
        place = keys.partition
        if place == CATALOG:
            return FreshCatalog(keys.generation, self._weigher)
        folding = BulkFold(
            place, self._partitions, careful=careful, discarded=self._discards.of(place)
        )
        return FreshPartition(keys, self._weigher, folding)
