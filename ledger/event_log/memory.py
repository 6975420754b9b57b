"""The log in memory: the same contract, for tests and for folding without a broker."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from ledger.event_log.port import (
    Appended,
    AppendRefused,
    AppendUnknown,
    Headers,
    LogUnavailable,
    LostRecords,
    MissingTopic,
    Record,
    Topic,
    check_size,
    check_tombstone,
)

_BATCH_RECORDS: Final = 500


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryLog:
    """An `EventLog` of `partitions` in this process. `clock` gives LogAppendTime in ms.

    Faults to order: `unreachable` refuses appends and readings; `lose_acknowledgements` is how
    many of the next appends are stored without their caller learning of it.
    """

    def __init__(self, partitions: int, *, clock: Callable[[], int] = _wall_clock_ms) -> None:
        self._clock = clock
        self._records: dict[Topic, list[list[Record]]] = {
            topic: [[] for _ in range(topic.partition_count(partitions))] for topic in Topic
        }
        self.unreachable = False
        self.lose_acknowledgements = 0

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        """See `EventLog.append`."""
        check_tombstone(topic, value)
        check_size(key=key, value=value, headers=headers)
        if self.unreachable:
            msg = "the log is unreachable; nothing was stored"
            raise AppendRefused(msg)
        records = self._partition(topic, partition)
        record = Record(
            partition=partition,
            offset=len(records),
            timestamp_ms=self._clock(),
            key=key,
            value=value,
            headers=headers,
        )
        records.append(record)
        if self.lose_acknowledgements:
            self.lose_acknowledgements -= 1
            msg = "the acknowledgement was lost; the record may be stored"
            raise AppendUnknown(msg)
        return Appended(partition=partition, offset=record.offset, timestamp_ms=record.timestamp_ms)

    async def ends(self, topic: Topic) -> dict[int, int]:
        """See `EventLog.ends`."""
        self._check_reachable()
        return {number: len(records) for number, records in enumerate(self._records[topic])}

    async def since(self, topic: Topic, time_ms: int) -> dict[int, int]:
        """See `TimedLog.since`."""
        self._check_reachable()
        return {
            number: next(
                (one.offset for one in records if one.timestamp_ms >= time_ms), len(records)
            )
            for number, records in enumerate(self._records[topic])
        }

    async def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncGenerator[Sequence[Record], None]:
        """See `EventLog.read`."""
        self._check_reachable()
        records = self._partition(topic, partition)
        if start > len(records):
            raise LostRecords(f"{topic}, partition {partition}, ends at {len(records)}")
        records = records[start:stop]
        for at in range(0, len(records), _BATCH_RECORDS):
            yield tuple(records[at : at + _BATCH_RECORDS])

    async def close(self) -> None:
        """See `EventLog.close`."""

    def _partition(self, topic: Topic, partition: int) -> list[Record]:
        partitions = self._records[topic]
        if not 0 <= partition < len(partitions):
            msg = f"{topic} has no partition {partition}"
            raise MissingTopic(msg)
        return partitions[partition]

    def _check_reachable(self) -> None:
        if self.unreachable:
            msg = "the log is unreachable"
            raise LogUnavailable(msg)
