"""The projector as a process: follows the log, tells how it is, leaves when told."""

from __future__ import annotations

import asyncio

import redis.asyncio

from projector.read_model import keys
from tests.activity import Activity
from tests.projector.replica import PARTITIONS, Replica, eventually


async def test_follows_the_log_and_is_level(replica: Replica) -> None:
    activity = Activity(1, partitions=PARTITIONS)
    await replica.append(list(activity.appendables(1000)))
    process = await replica.start()
    await replica.assert_equals_an_independent_fold()
    await replica.append(list(activity.appendables(500)))
    await replica.assert_equals_an_independent_fold()

    # Level goes on while nothing happens.
    async def leveled_again() -> bool:
        heads = await replica.heads()
        return all(
            now.level_at_ms > then.level_at_ms for now, then in zip(heads, before, strict=True)
        )

    before = await replica.heads()
    await eventually(leveled_again, what="a later level-at")
    assert process.metric("ledger_projector_events_total") > 1000
    assert process.metric("ledger_projector_lag") == 0
    assert process.get("/health/live").status_code == 200
    assert process.get("/nothing").status_code == 404
    async with redis.asyncio.Redis.from_url(replica.store.url) as client:
        assert await client.get(keys.serving(0)) == b"1"
        assert b"pepper" in (await client.get(keys.genesis(0)) or b"")

    await asyncio.to_thread(process.stop)
    assert '"text":"stopping"' in process.log()
