"""A replica's data keys in a test: what a projector makes of the topic, as of when it last ran."""

from __future__ import annotations

from ledger.event_log.port import EventLog, Record, Topic
from ledger.sealing.records import ERASED, read_record_key


class Replica:
    """Holds what it last took over; `looked_up` counts the look-ups."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.values: dict[tuple[str, str], bytes] = {}
        self.looked_up = 0

    async def take_over(self) -> None:
        """Take over everything that the log holds now."""
        self.values = {}
        for partition in await self._log.ends(Topic.LICENSE_DATA_KEYS):
            async for batch in self._log.read(Topic.LICENSE_DATA_KEYS, partition, start=0):
                for record in batch:
                    name = read_record_key(record.key)
                    if name is not None:
                        self.values[name] = ERASED if record.value is None else record.value

    async def stored(self, license_: str, dk: str) -> bytes | None:
        self.looked_up += 1
        return self.values.get((license_, dk))


async def records(log: EventLog, topic: Topic, partition: int) -> list[Record]:
    """All records of a partition."""
    return [record async for batch in log.read(topic, partition, start=0) for record in batch]
