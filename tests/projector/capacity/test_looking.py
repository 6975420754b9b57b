"""What is looked at: a log with a made-up past, what brokers and a Redis tell, a real file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import Topic, Topics
from ledger.event_log.volumes import Volume
from projector.capacity import looking
from projector.capacity.forecast import DAY_S, outlook
from projector.capacity.looking import Came, History

DAY_MS = 86_400_000
TOPICS = Topics(prefix="x-")
PAST = History(
    ends={Topic.LICENSE_EVENTS: {0: 1_000, 1: 3_000}, Topic.LICENSE_DATA_KEYS: {0: 2_001, 1: 1}},
    came=[
        Came(
            span_s=2 * DAY_S,
            records={Topic.LICENSE_EVENTS: {0: 100, 1: 0}, Topic.LICENSE_DATA_KEYS: {0: 20, 1: 0}},
        )
    ],
)


async def past_of(*ages_days: float) -> History:
    """The past of a log with a record of each age."""
    now_ms, age_ms = time.time_ns() // 1_000_000, 0
    log = MemoryLog(2, clock=lambda: now_ms - age_ms)
    for days in ages_days:
        age_ms = round(days * DAY_MS)
        for topic in (Topic.LICENSE_EVENTS, Topic.LICENSE_DATA_KEYS):
            await log.append(topic, 0, key=b"k", value=b"v")
    return await looking.history(log, await looking.began_ms(log))


@pytest.mark.parametrize(
    ("ages_days", "came"),
    [
        ([50, 20, 5, 0.5, 0.4], [(1, 2), (7, 3), (30, 4)]),
        ([5, 3, 0.5], [(1, 1), (5, 3)]),
        ([0.25, 0.1], [(0.25, 2)]),
    ],
    ids=["an old log", "of five days", "of six hours"],
)
async def test_the_past_is_told_as_far_as_the_log_reaches(
    ages_days: list[float], came: list[tuple[float, int]]
) -> None:
    past = await past_of(*ages_days)
    told = [
        (each.span_s / DAY_S, sum(each.records[Topic.LICENSE_EVENTS].values()))
        for each in past.came
    ]
    assert [count for _, count in told] == [count for _, count in came]
    assert [days for days, _ in told] == pytest.approx([days for days, _ in came], rel=0.01)
    assert past.ends[Topic.LICENSE_EVENTS][0] == len(ages_days)


async def test_an_empty_log_has_no_pace() -> None:
    past = await past_of()
    assert past.licenses == 0
    assert all(pace.bytes_a_day == 0 for pace in past.paces({(Topic.LICENSE_EVENTS, 0): 5}))


def volume(folder: str = "/k", trouble: str = "") -> Volume:
    sizes = {("x-license-events", 0): 10_000, ("x-license-events", 1): 9_000, ("other", 0): 500}
    return Volume(
        broker=1, folder=folder, total=1_000_000, usable=99_500, sizes=sizes, trouble=trouble
    )


def test_a_broker_grows_by_its_own_partitions() -> None:
    [found] = looking.brokers([volume()], TOPICS, PAST)
    assert (found.name, found.used, found.size, found.room) == (
        "kafka-1",
        19_500,
        1_000_000,
        99_500,
    )
    # A tenth of partition 0 came in two days, nothing of partition 1; others' topics don't count.
    assert [pace.bytes_a_day for pace in found.paces] == [500]
    assert outlook(found).earliest == 199


def test_a_folder_that_failed_and_several_of_one_broker_are_named() -> None:
    good, bad = looking.brokers([volume(), volume("/l", "Kafka's error 56")], TOPICS, PAST)
    assert (good.name, bad.name) == ("kafka-1:/k", "kafka-1:/l")
    assert "error 56" in bad.unknown


def test_a_redis_grows_by_what_a_license_takes() -> None:
    info = {"used_memory": 5_000_000, "used_memory_startup": 1_000_000, "maxmemory": 6_000_000}
    found = looking.redis("B", info, PAST)
    assert (found.name, found.size, found.room) == ("redis-B", 6_000_000, 1_000_000)
    # 10 licenses a day, of 2,000 that take 4,000,000 bytes.
    assert [pace.bytes_a_day for pace in found.paces] == [20_000]


def test_a_redis_without_a_limit_ends_with_its_host() -> None:
    info = {"used_memory": 5_000_000, "maxmemory": 0, "total_system_memory": 50_000_000}
    assert looking.redis("A", info, PAST).room == 45_000_000
    assert looking.redis("A", {"used_memory": 5}, PAST).room is None


def test_of_a_few_licenses_nothing_is_foreseen() -> None:
    found = looking.redis("A", {"used_memory": 5, "maxmemory": 9}, looking.NOTHING)
    assert "licenses" in found.unknown
    assert found.room == 4


def test_a_copy_ends_at_its_limit_or_with_the_disk(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"x" * 4_000)
    found = looking.local_copy(tmp_path, 10_000, PAST)
    assert (found.used, found.size, found.room) == (4_000, 10_000, 6_000)
    assert [pace.bytes_a_day for pace in found.paces] == [20]
    assert looking.local_copy(tmp_path, 1_000, PAST).room == 0
    larger = looking.local_copy(tmp_path, 1 << 60, PAST)
    assert larger.room is not None
    assert larger.room < 1 << 50
    with pytest.raises(OSError, match=r"data\.mdb"):
        looking.local_copy(tmp_path / "none", 1, PAST)
