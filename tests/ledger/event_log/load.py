"""Appends under way while a broker breaks, and the check of what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Appended, AppendRefused, AppendUnknown, LogError, Record, Topic

EVENTS = Topic.LICENSE_EVENTS
PARTITIONS = 4
CALLERS = 24
OUTCOME_LIMIT_S = 5.0
"""An append promises its outcome in 1 s; the rest is for a busy machine. A hang is found anyway."""
BACK_LIMIT_S = 60.0
_PAUSE_S = 0.005


async def eventually(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(BACK_LIMIT_S):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {BACK_LIMIT_S} s") from None


class Load:
    """Callers that append, one record at a time each, and keep what they were told."""

    def __init__(self, log: KafkaLog) -> None:
        self.log = log
        self.told: dict[bytes, Appended | LogError] = {}
        self._stopping = False
        self._tasks = [asyncio.create_task(self._call(caller)) for caller in range(CALLERS)]

    def count(self, kind: type[Appended | LogError]) -> int:
        return sum(isinstance(outcome, kind) for outcome in self.told.values())

    async def goes_on(self) -> None:
        """Wait until more appends are acknowledged."""
        before = self.count(Appended)
        await eventually(lambda: self.count(Appended) > before + CALLERS, "acknowledged appends")

    async def is_refused(self) -> None:
        """Wait until more appends are refused."""
        before = self.count(AppendRefused)
        await eventually(lambda: self.count(AppendRefused) > before + CALLERS, "refused appends")

    async def end(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _call(self, caller: int) -> None:
        number = 0
        while not self._stopping:
            value = b"%d.%d" % (caller, number)
            number += 1
            self.told[value] = await outcome(self.log, caller % PARTITIONS, value)
            await asyncio.sleep(_PAUSE_S)


async def outcome(log: KafkaLog, partition: int, value: bytes) -> Appended | LogError:
    """One append's outcome; fails where there is none in time, or another than promised."""
    async with asyncio.timeout(OUTCOME_LIMIT_S):
        try:
            return await log.append(EVENTS, partition, key=b"k", value=value)
        except (AppendRefused, AppendUnknown) as error:
            return error


async def stored(log: KafkaLog) -> dict[bytes, list[Record]]:
    """All records of the log, by value."""
    found: dict[bytes, list[Record]] = {}
    for partition in range(PARTITIONS):
        async for batch in log.read(EVENTS, partition, start=0):
            for record in batch:
                found.setdefault(record.value or b"", []).append(record)
    return found


def check(told: dict[bytes, Appended | LogError], found: dict[bytes, list[Record]]) -> None:
    """Nothing acknowledged is missing or elsewhere, nothing refused is there, nothing is twice."""
    assert Counter(map(len, found.values())).keys() <= {1}
    for value, said in told.items():
        records = found.get(value, [])
        if isinstance(said, Appended):
            [record] = records
            at = (record.partition, record.offset, record.timestamp_ms)
            assert at == (said.partition, said.offset, said.timestamp_ms)
        elif isinstance(said, AppendRefused):
            assert records == []
    assert found.keys() <= told.keys()
