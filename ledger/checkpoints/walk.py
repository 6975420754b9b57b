"""A walk along one partition of the log, and its chain at the positions that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from ledger.checkpoints.document import Mark
from ledger.event_log import chain, genesis
from ledger.event_log.port import EventLog, ForeignLog, LostRecords, Record, Topic

BEGINNING: Final = Mark(position=0, timestamp_ms=None, chain=chain.START.hex())


class Walk:
    """Reads a partition from `start` to the offset `end`.

    `stops`: positions at which the mark is kept. A start behind the beginning is believed; but the
    record before it is looked at, whether it has the time that the start says. What was read is not
    read again, so `go_on` may be called until it comes through.
    """

    def __init__(
        self,
        topic: Topic,
        partition: int,
        *,
        end: int,
        stops: Iterable[int] = (),
        start: Mark = BEGINNING,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.start = start
        self.end = end
        self.found: dict[int, Mark] = {start.position: start}
        """Marks at the stops that were reached, and at the start."""
        self.lost: str | None = None
        """Why it can go no further: records that must be there are not."""
        self.ledger: str | None = None
        """Whose genesis stands at the beginning; empty: none does. None: it wasn't read."""
        self.is_other_at_start = False
        """Whether the record before the start isn't the one that the start knows."""
        self._stops = sorted({*stops, end} - {start.position}, reverse=True)
        self._next = max(0, start.position - 1)
        self._chain = bytes.fromhex(start.chain)

    @property
    def left(self) -> int:
        """How many records are left to read."""
        return 0 if self.lost is not None else max(0, self.end - self._next)

    @property
    def position(self) -> int:
        """The next offset to read."""
        return self._next

    async def go_on(self, log: EventLog, on_moved: Callable[[int], None]) -> None:
        """Read on to the end; `on_moved` is told of each batch how many records it had.

        Raises `LogUnavailable`, `MissingTopic`.
        """
        if not self.left:
            return
        reading = log.read(self.topic, self.partition, start=self._next, stop=self.end)
        try:
            async with aclosing(reading) as batches:
                async for batch in batches:
                    self._take(batch)
                    on_moved(len(batch))
        except LostRecords as error:
            self.lost = str(error)
        else:
            if self._next < self.end:
                self.lost = f"the log ended at {self._next} while it was read to {self.end}"

    def _take(self, batch: Sequence[Record]) -> None:
        if self._next == 0:
            self.ledger = _ledger_of(batch[0])
        if self._next < self.start.position:
            self.is_other_at_start = batch[0].timestamp_ms != self.start.timestamp_ms
            self._next += 1
            batch = batch[1:]
        extend, extended = chain.extend, self._chain
        stop = self._stops[-1] if self._stops else -1
        for record in batch:
            extended = extend(
                extended, record.offset, record.timestamp_ms, record.key, record.value
            )
            if record.offset + 1 == stop:
                self._keep(stop, record.timestamp_ms, extended)
                stop = self._stops[-1] if self._stops else -1
        if batch:
            self._next = batch[-1].offset + 1
        self._chain = extended

    def _keep(self, position: int, timestamp_ms: int, reached: bytes) -> None:
        self.found[position] = Mark(
            position=position, timestamp_ms=timestamp_ms, chain=reached.hex()
        )
        self._stops.pop()


def _ledger_of(record: Record) -> str:
    if record.key != genesis.RECORD_KEY:
        return ""
    try:
        return genesis.decode(record.value).ledger
    except ForeignLog:
        return ""
