"""A discard on a real log, obeyed by a real projector, and by a rebuild beside it."""

from __future__ import annotations

from typing import cast

import pytest
import redis.asyncio

from ledger.domain.catalog.entities import RULES_ID
from projector.read_model.keys import Keys
from projector.views.documents import read_license
from tests.activity import Activity, Appendable
from tests.projector.quarantined import discard_value
from tests.projector.rebuild.rebuilding import at, rebuilt
from tests.projector.replica import PARTITIONS, Replica, eventually, read_all

POISON = b'{"fingerprint":"top secret"'


@pytest.mark.slow
async def test_a_discard_is_obeyed_by_what_serves_and_by_a_rebuild(replica: Replica) -> None:
    activity = Activity(2, partitions=PARTITIONS)
    items = list(activity.appendables(900))
    victim = items[0]
    partition, license_ = victim.partition, (victim.key or b"").decode()
    poison = Appendable(partition=partition, key=victim.key, value=POISON)
    process = await replica.start()
    await replica.append([*items[:300], poison, *items[300:600]])
    await replica.assert_equals_an_independent_fold()
    log = await read_all(replica.kafka, replica.events, partition)
    [offset] = [one.offset for one in log if one.value == POISON]

    async def frozen_at() -> int | None:
        name = Keys(partition, replica.generation).license(license_)
        async with redis.asyncio.Redis.from_url(replica.store.url) as client:
            return read_license(cast("bytes", await client.get(name))).frozen_at

    assert await frozen_at() == offset
    discard = Appendable(partition=0, key=RULES_ID.encode(), value=discard_value(partition, offset))
    await replica.append([discard], replica.catalog)

    async def thawed() -> bool:
        return await frozen_at() is None

    await eventually(thawed, what="the license is folded on")
    await replica.assert_equals_an_independent_fold({partition: {offset}})
    assert process.metric("ledger_projector_frozen_licenses") == 0
    assert process.metric("ledger_projector_stopped") == 0
    assert "secret" not in process.log()

    async with at(replica) as site:
        done = await rebuilt(replica, site)
    assert done.proof.compared == PARTITIONS + 1
    replica.generation = done.generation
    await replica.append(items[600:])
    await replica.assert_equals_an_independent_fold({partition: {offset}})
