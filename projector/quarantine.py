"""What is set aside in one partition, folded again by its session: due, loaded, folded, written.

It happens in the session's own task, between two batches, so that nothing at hand is ever another
position's. A license is due when a session begins (its release may be newer than the one that has
frozen it), when more is discarded, and when a person orders it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.metadata import version
from typing import Final

from projector.loaded import Documents
from projector.loading import load
from projector.logs import alarm, say
from projector.metrics import Metrics
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.read_model.port import Batch, ReadModel
from projector.reading import TROUBLE
from projector.retry_folding import Again, Waiting, fold_again, read_again, take_back, waiting
from projector.retry_orders import RetryAnswer, retry_document
from projector.views.documents import Head
from projector.waits import Waits

_MEMBERS: Final = 10_000
_log: Final = logging.getLogger(__name__)


@cache
def release() -> str:
    """Version of this software."""
    return version("license-ledger")


class Quarantine:
    """Folds again what is set aside in one partition.

    `write`: writes a batch, False: the store stands elsewhere; of None it looks where that stands.
    """

    def __init__(
        self,
        partition: int,
        model: ReadModel,
        metrics: Metrics,
        write: Callable[[Batch | None], Awaitable[bool]],
    ) -> None:
        self.waits = Waits()
        self._partition = partition
        self._model = model
        self._metrics = metrics
        self._write = write

    async def go_on(self, head: Head, documents: Documents, names: Keys) -> bool:
        """Do one thing that is due, at the head's position; True: nothing is due any more."""
        waits = self.waits
        if waits.sweep:
            await self._sweep(head, documents, names)
        elif (license_ := waits.next()) is not None:
            await self._again(license_, head, documents, names)
        if waits.sweep or waits.next() is not None:
            return False
        if late := waits.too_late():
            alarm(
                _log,
                "discarded-too-late",
                "records are discarded that this replica had folded: it has to be rebuilt",
                partition=self._partition,
                offsets=late[:10],
            )
        return True

    async def answer(self) -> None:
        """Tell who has ordered what became of it."""
        order = self.waits.order
        if order is not None:
            answer = RetryAnswer(id=order.id, release=release(), frozen=self.waits.left(order))
            await self._model.put(keys.retry_answer(self._partition), retry_document(answer))
            self.waits.order = None

    async def _sweep(self, head: Head, documents: Documents, names: Keys) -> None:
        records = await waiting_under(self._model, names.set_aside(keys.UNROUTABLE))
        again = take_back(records, self.waits.discarded, head, documents, names)
        if again.batch is None or await self._write(again.batch):
            self.waits.swept(again.taken)

    async def _again(self, license_: str, head: Head, documents: Documents, names: Keys) -> None:
        """Fold again what waits of a license, in as many batches as it takes."""
        records: Sequence[Waiting] = await waiting_under(self._model, names.set_aside(license_))
        before = self.waits.frozen.get(license_)
        if not records:
            self.waits.tried(license_, before, ())
            return
        while True:
            again = await self._folded(license_, records, head, documents, names)
            if again is None:
                self.waits.tried(license_, before, ())
                await self._write(None)
                return
            if again.batch is not None and not await self._write(again.batch):
                return
            self.waits.tried(license_, again.frozen_at, again.taken)
            self._metrics.events.inc(again.notes.events)
            self._metrics.duplicates.inc(again.notes.duplicates)
            if again.frozen_at is None or again.poison is not None:
                break
            records = again.left
        self._tell(license_, before, again)

    async def _folded(
        self,
        license_: str,
        records: Sequence[Waiting],
        head: Head,
        documents: Documents,
        names: Keys,
    ) -> Again | None:
        """Fold a piece; None where that fails, and no record is to blame."""
        discarded = self.waits.discarded
        reading = read_again(license_, records, discarded)
        elapsed_ms = records[len(reading.entries) - 1].elapsed_ms
        await load(self._model, names, documents, reading, elapsed_ms)
        try:
            return fold_again(license_, records, reading, discarded, head, documents, names)
        except TROUBLE:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the license stays frozen
            _log.exception("what waits of a license can't be folded again")
            return None

    def _tell(self, license_: str, before: int | None, again: Again) -> None:
        told = {"partition": self._partition, "license": license_}
        if again.frozen_at is None:
            self._metrics.frozen.labels(str(self._partition)).dec()
            say(_log, logging.INFO, "a license is frozen no more", **told)
        elif again.frozen_at == before:
            say(_log, logging.INFO, "a license stays frozen", offset=before, **told)
        else:
            text = "a later record of a frozen license can't be folded"
            alarm(_log, "poison-record", text, offset=again.frozen_at, **told)


async def waiting_under(model: ReadModel, key: str) -> list[Waiting]:
    """All records set aside under a key, in the order of their offsets."""
    count = _MEMBERS
    while True:
        members = (await model.fronts({key: count}))[key]
        if len(members) < count:
            return waiting(members)
        count *= 10
