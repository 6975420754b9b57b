"""An import waits for replicas that serve, and for no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cli.importing import pace as paces
from cli.importing.pace import LAG_MAX, NotFoldedError, Pace
from cli.replica import ReplicasAwayError
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Topic
from tests.cli.importing.memory import SETTINGS, MemoryReplicas

RECORDS = LAG_MAX + 100


class Standing(MemoryReplicas):
    """Replicas whose positions of partition 0 the test sets; the others are at 0."""

    def __init__(self, log: MemoryLog, *positions: int) -> None:
        super().__init__(log, SETTINGS)
        self.at = list(positions)

    async def positions(self) -> list[list[int]]:
        return [[position, 0, 0, 0] for position in self.at]


@pytest.fixture
async def log() -> MemoryLog:
    found = MemoryLog(SETTINGS.partitions)
    for _ in range(RECORDS):
        await found.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
    return found


async def is_comfortable(pace: Pace, within_s: float = 0.3) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await pace.comfort()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("positions", "comfortable"),
    [((RECORDS, RECORDS), True), ((100, 100), True), ((RECORDS, 99), False), ((0, 0), False)],
)
async def test_it_waits_for_a_replica_that_is_far_behind(
    log: MemoryLog, positions: Sequence[int], *, comfortable: bool
) -> None:
    assert await is_comfortable(Pace(log, Standing(log, *positions))) == comfortable


async def test_it_goes_on_when_the_replica_has_caught_up(log: MemoryLog) -> None:
    replicas = Standing(log, 0)
    waiting = asyncio.create_task(Pace(log, replicas).comfort())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    replicas.at = [RECORDS]
    async with asyncio.timeout(5):
        await waiting


async def test_a_replica_that_stands_still_is_not_waited_for(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paces, "STALLED_S", 0.2)
    assert await is_comfortable(Pace(log, Standing(log, RECORDS, 0)), within_s=5)
    # But with no other one everything waits for it.
    assert not await is_comfortable(Pace(log, Standing(log, 0)), within_s=0.6)


async def test_without_any_replica_it_gives_up(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paces, "AWAY_S", 0.1)
    with pytest.raises(ReplicasAwayError):
        async with asyncio.timeout(5):
            await Pace(log, Standing(log)).comfort()


async def test_what_nobody_folds_is_told(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paces, "FOLDED_S", 0.1)
    pace = Pace(log, Standing(log, RECORDS - 1))
    await pace.folded({0: RECORDS - 1})
    with pytest.raises(NotFoldedError, match="Run the import again"):
        await pace.folded({0: RECORDS})
