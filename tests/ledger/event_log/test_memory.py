"""The log in memory keeps the contract, and has faults to order."""

from __future__ import annotations

import pytest

from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import AppendUnknown
from tests.ledger.event_log.contract import EVENTS, PARTITIONS, LogContract, records
from tests.ledger.event_log.genesis_contract import GenesisContract


class TestMemoryLog(LogContract, GenesisContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog(PARTITIONS)

    @pytest.fixture
    def unreachable_log(self) -> MemoryLog:
        log = MemoryLog(PARTITIONS)
        log.unreachable = True
        return log


async def test_its_time_is_the_clock_s() -> None:
    times = iter((1_000, 900))
    log = MemoryLog(1, clock=lambda: next(times))
    for _ in range(2):
        await log.append(EVENTS, 0, key=b"k", value=b"v")
    assert [one.timestamp_ms for one in await records(log)] == [1_000, 900]


async def test_a_lost_acknowledgement_leaves_the_record_in_the_log() -> None:
    log = MemoryLog(1)
    log.lose_acknowledgements = 1
    with pytest.raises(AppendUnknown):
        await log.append(EVENTS, 0, key=b"k", value=b"1")
    at = await log.append(EVENTS, 0, key=b"k", value=b"2")
    assert at.offset == 1
    assert [one.value for one in await records(log)] == [b"1", b"2"]
