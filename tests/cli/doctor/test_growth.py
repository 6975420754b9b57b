"""How fast the log grows: by the records' own timestamps, not by when somebody looked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cli.doctor import machine
from cli.doctor.log import growth
from cli.local.folder import data_folder
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Topic

HOUR_MS = 3_600_000


async def grown(*, ages_h: list[tuple[float, int]]) -> float | None:
    """What is told of a log with so many records of such an age in hours."""
    now_ms, age_ms = time.time_ns() // 1_000_000, 0
    log = MemoryLog(2, clock=lambda: now_ms - age_ms)
    for hours, count in ages_h:
        age_ms = int(hours * HOUR_MS)
        for number in range(count):
            await log.append(Topic.LICENSE_EVENTS, number % 2, key=b"k", value=b"v")
    return await growth(log, sum(count for _, count in ages_h))


@pytest.mark.parametrize(
    ("ages_h", "a_day"),
    [
        ([(100, 5_000), (20, 1_500), (1, 500)], 2_000),
        ([(12, 1_200)], 2_400),
        ([(2, 10), (1.9, 1_990)], 24_000),
        ([(0.5, 5_000)], None),
        ([(100, 5_000), (1, 20)], None),
        ([], None),
    ],
    ids=["a day of an old one", "half a day", "two hours", "too young", "too few", "nothing"],
)
async def test_growth_is_the_last_days(
    ages_h: list[tuple[float, int]], a_day: float | None
) -> None:
    found = await grown(ages_h=ages_h)
    assert found == (None if a_day is None else pytest.approx(a_day, rel=0.01))


def test_the_logs_bytes_are_those_of_its_own_files(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    for name, size in (("license-events-0", 7), ("license-events-1", 5), ("catalog-events-0", 99)):
        partition = folder.kafka(1)[0] / "data" / name
        partition.mkdir(parents=True)
        (partition / "0.log").write_bytes(b"x" * size)
        (partition / "0.index").write_bytes(b"x" * 1000)
    assert machine.log_bytes(folder, "*license-events") == 12
    assert machine.log_bytes(data_folder(tmp_path / "none"), "*license-events") == 0
