"""Events that the API has no route for yet, appended to the log as an operator would."""

from __future__ import annotations

import asyncio
from typing import Final

from ledger.domain.clocks import rfc3339
from ledger.domain.events import Event, EventData, Reinstated, Revoked, Suspended
from ledger.domain.identifiers import partition_of, random_id
from ledger.event_log.codec import encode
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker

ORDERS: Final[dict[str, EventData]] = {
    "suspend": Suspended(),
    "reinstate": Reinstated(),
    "revoke": Revoked(),
}


async def order(ledger: LocalLedger, worker: Worker, license_: str, what: str) -> None:
    """Append an order and wait until the worker knows of it."""
    event = Event(
        id=random_id(),
        source="test",
        license=license_,
        time_ms=worker.services.clock.check_ms,
        actor="test",
        content_digest="0" * 32,
        data=ORDERS[what],
    )
    await append(ledger, worker, license_, encode(event))


async def append(ledger: LocalLedger, worker: Worker, license_: str, value: bytes) -> int:
    """Append a record of a license and wait until the worker knows that it was folded."""
    partition = partition_of(license_, worker.replicas.partitions)
    appended = await ledger.log.append(
        Topic.LICENSE_EVENTS, partition, key=license_.encode(), value=value
    )
    await worker.replicas.passing.passed(partition, appended.offset, 10)
    return appended.offset


async def until(condition: object, *, what: str, limit_s: float = 20.0) -> None:
    """Wait until a condition holds; `condition` is called, and awaited where that gives more."""
    assert callable(condition)
    async with asyncio.timeout(limit_s):
        while True:
            holds = condition()
            if asyncio.iscoroutine(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.01)


def at(time_ms: int) -> str:
    """Time as the contract writes it."""
    return rfc3339(time_ms)
