"""Builders within their memory: what doesn't fit is said, and spoils nothing for the others."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections import Counter

import pytest

from projector.rebuild.__main__ import Report
from projector.rebuild.builders import BuilderAwayError, BuilderFailedError, Builders
from projector.rebuild.building import memory_bytes
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import at, run_of
from tests.projector.replica import PARTITIONS, Replica
from tests.servers import ROOT

MB = 1 << 20


class Counted(Builders):
    """Counts the processes that it starts."""

    started = 0

    async def _started(self) -> Process:
        self.started += 1
        return await super()._started()


def test_memory_is_what_is_taken_now_and_not_the_most_ever() -> None:
    before = memory_bytes()
    taken = bytearray(b"x") * (200 * MB)
    assert memory_bytes() - before > 150 * MB
    del taken
    assert memory_bytes() - before < 50 * MB


async def test_what_can_not_be_reached_is_told_from_what_fails(replica: Replica) -> None:
    environment = {**replica.environment, "PYTHONPATH": str(ROOT)}
    for changes, partition, error in (
        ({"LEDGER_REPLICAS": "redis://127.0.0.1:1"}, 0, BuilderAwayError),
        ({}, 99, BuilderFailedError),
    ):
        builders = Builders(
            {**environment, **changes}, replica=0, count=1, memory_mb=2_000, tell=lambda _: None
        )
        with pytest.raises(BuilderFailedError, match=f"partition {partition} can't be") as caught:
            await builders.build("9", [(partition, 10), (1, 10)])
        assert type(caught.value) is error


async def test_one_partition_too_large_leaves_the_others_to_be_built(replica: Replica) -> None:
    kept: Counter[int] = Counter()
    items = []
    for item in Activity(51, partitions=PARTITIONS, licenses=4_000).appendables(60_000):
        kept[item.partition] += 1
        if item.partition == 0 or kept[item.partition] <= 50:
            items.append(item)
    await replica.append(items)
    ends = list(enumerate(await replica.ends()))
    reports: list[Report] = []
    async with at(replica) as site:

        def builders(memory_mb: int) -> Counted:
            environment = run_of(replica, site).environment
            return Counted(
                environment, replica=0, count=1, memory_mb=memory_mb, tell=reports.append
            )

        await builders(2_000).build("7", ends[1:])
        small = max(report.memory for report in reports)
        assert 20 * MB < small < 300 * MB
        reports.clear()
        limited = builders(small // MB + 6)
        await limited.build("8", ends)
        assert limited.too_large == [0]
        assert limited.memory_bytes == 0
        # What was too large may not be given back: another process goes on.
        assert limited.started == 2
        assert [one.partition for one in reports if one.too_large] == [0]
        assert [one.partition for one in reports if one.done] == [1, 2, 3]
        heads = await site.heads("8")
        assert [heads[place].position for place, _ in ends] == [0, *(end for _, end in ends[1:])]
