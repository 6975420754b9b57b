"""Events that the API has no route for yet, appended to the log as an operator would."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ledger.domain.events import Event, EventData, Reinstated, Revoked, Suspended
from ledger.domain.identifiers import partition_of, random_id
from ledger.event_log.codec import encode
from ledger.event_log.port import Topic

if TYPE_CHECKING:
    from tests.api.conftest import LocalLedger, Worker

BY_KEY: Final = "/v1/licenses/actions/validate-key"
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


async def meta_of(
    worker: Worker, license_: dict[str, Any], fingerprint: str = "f"
) -> dict[str, Any]:
    scope = {"fingerprint": fingerprint}
    body = {"meta": {"key": license_["attributes"]["key"], "scope": scope}}
    answer = await worker.stranger.post(BY_KEY, json=body)
    assert answer.status_code == 200, answer.text
    meta: dict[str, Any] = answer.json()["meta"]
    return meta
