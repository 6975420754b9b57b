"""One record of the log, by its place."""

from __future__ import annotations

from contextlib import aclosing

from cli.patience import patiently
from ledger.event_log.port import EventLog, Record, Topic


async def record_at(log: EventLog, topic: Topic, partition: int, offset: int) -> Record | None:
    """The record at an offset; None where compaction took it away. Raises `BrokerAwayError`."""

    async def read() -> Record | None:
        async with aclosing(log.read(topic, partition, start=offset, stop=offset + 1)) as batches:
            async for batch in batches:
                return batch[0]
        return None

    return await patiently(read)
