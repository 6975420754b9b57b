"""A rehearsal of a whole ledger, a partition at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing

from projector.discards import Discards
from projector.rehearsal.changes import Compared, Rehearsed
from projector.rehearsal.comparing import Comparing
from projector.rehearsal.reading import History, tried
from projector.rehearsal.supposing import Supposing


async def beside_a_replica(comparing: Comparing, discards: Discards, partitions: int) -> Rehearsed:
    """Compare every partition of a replica with what this release makes of the log.

    Raises `ReplicaMovedError`, `LostRecordError`, `UnknownRulesError`, `LogError`,
    `ReadModelError`.
    """
    found = []
    for partition in range(partitions):

        async def work(careful: bool, partition: int = partition) -> Compared:  # noqa: FBT001 - as `tried` calls it
            await discards.refresh()
            discarded = discards.of(partition)
            compared = await comparing.compare(partition, discarded, careful=careful)
            if compared.changes:
                await discards.refresh()
                if discards.of(partition) != discarded:
                    # A record was discarded meanwhile: the replica skips it by now.
                    discarded = discards.of(partition)
                    compared = await comparing.compare(partition, discarded, careful=careful)
            return compared

        found.append(await tried(work))
    return Rehearsed(partitions=found)


async def under_rules(
    history: History,
    discards: Discards,
    ends: Mapping[int, int],
    rules: int,
    tell: Callable[[int], None] = lambda _: None,
) -> Rehearsed:
    """Compare what is recorded up to `ends` with what it would be under `rules`, all along.

    `tell`: is told how many records were folded since. Raises as `beside_a_replica` does, but for
    the replica.
    """
    found = []
    for partition in sorted(ends):

        async def work(careful: bool, partition: int = partition) -> Compared:  # noqa: FBT001 - as `tried` calls it
            await discards.refresh()
            discarded = discards.of(partition)
            supposing = Supposing(partition, len(ends), rules, discarded, careful=careful)
            runs = history.messages(partition, start=0, stop=ends[partition])
            async with aclosing(runs):
                async for records in runs:
                    supposing.take(records)
                    tell(len(records))
            return supposing.compared()

        found.append(await tried(work))
    return Rehearsed(partitions=found)
