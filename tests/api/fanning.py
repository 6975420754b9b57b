"""What the tests of the fan-out work with: policies that change, and what the log says of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from api.ending import end
from ledger.domain.events import Event, Issued, TermsChanged, Transferred
from ledger.domain.identifiers import license_id, partition_of, random_id
from ledger.domain.license import License, Loaded, fold
from ledger.domain.terms import OwnTerms, Terms
from ledger.domain.verdicts import Verdict
from ledger.event_log.codec import UndecodableError, decode
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import until
from tests.vendor import license_body, resource_body

SEALED = f"{'0' * 16}.{'A' * 60}"


@asynccontextmanager
async def fanning_out(*workers: Worker) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The workers' fan-outs run, as they do in a process."""
    tasks = [asyncio.create_task(worker.services.fan_out.run()) for worker in workers]
    try:
        yield tasks
        assert not any(task.done() for task in tasks)
    finally:
        await end(tasks)


async def all_have_it(worker: Worker, policy: str, *, behind: int = 0) -> None:
    async def counted() -> bool:
        return (await progress_of(worker, policy))["behind"] == behind

    await until(counted, what="the terms everywhere")


async def limit_of(worker: Worker, license_: dict[str, Any]) -> int | None:
    read = await worker.client.get(f"/v1/licenses/{license_['id']}")
    limit: int | None = read.json()["data"]["attributes"]["seats"]["limit"]
    return limit


def behind_the_api(worker: Worker, policy: str, key: str, terms: Terms) -> Event:
    """A license as an importer issues it, with the terms of a policy's first version."""
    id_ = license_id(worker.services.pepper, worker.catalog.account, key)
    data = Issued(
        account=worker.catalog.account,
        product=worker.catalog.product,
        policy=policy,
        key=SEALED,
        terms=terms,
        own=OwnTerms(),
    )
    return event_of(worker, id_, data, 0)


def event_of(
    worker: Worker, license_: str, data: Issued | Transferred, policy_version: int
) -> Event:
    return Event(
        id=random_id(),
        source="test",
        license=license_,
        time_ms=worker.services.clock.check_ms,
        actor="test",
        content_digest="0" * 32,
        data=data,
        rules=2,
        policy_version=policy_version,
    )


async def history(ledger: LocalLedger, license_: str) -> list[tuple[Event, Verdict, bool]]:
    """A license's events with what the fold makes of them, and whether each was new."""
    state: License | None = None
    remembered: dict[str, Verdict] = {}
    found: list[tuple[Event, Verdict, bool]] = []
    partition = partition_of(license_, len(await ledger.ends()))
    async for batch in ledger.log.read(Topic.LICENSE_EVENTS, partition, start=0):
        for record in batch:
            if record.key != license_.encode():
                continue
            try:
                event = decode(record.key, record.value)
            except UndecodableError:
                break
            loaded = Loaded(license=state, remembered=remembered.get(event.id))
            folded = fold(event, record.offset, 0, loaded)
            state = folded.license
            found.append((event, folded.verdict, event.id not in remembered))
            remembered.setdefault(event.id, folded.verdict)
    return found


async def changes(ledger: LocalLedger, licenses: Iterable[str]) -> Counter[tuple[str, int]]:
    """How often each license got the terms of each version."""
    counted: Counter[tuple[str, int]] = Counter()
    for license_ in licenses:
        for event, verdict, new in await history(ledger, license_):
            if isinstance(event.data, TermsChanged) and new and verdict.granted:
                counted[license_, event.policy_version or 0] += 1
    return counted


async def issue(worker: Worker, policy: str, **attributes: object) -> dict[str, Any]:
    return await created_license(worker, license_body(policy, **attributes))


async def created_license(worker: Worker, body: dict[str, Any]) -> dict[str, Any]:
    answer = await worker.client.post("/v1/licenses", json=body)
    assert answer.status_code == 201, answer.text
    license_: dict[str, Any] = answer.json()["data"]
    return license_


async def change(worker: Worker, policy: str, **attributes: object) -> int:
    """Change a policy; its version from now on."""
    body = resource_body("policies", attributes)
    answer = await worker.client.patch(f"/v1/policies/{policy}", json=body)
    assert answer.status_code == 200, answer.text
    version: int = answer.json()["data"]["attributes"]["version"]
    return version


async def progress_of(worker: Worker, policy: str) -> dict[str, int]:
    answer = await worker.client.get(f"/v1/policies/{policy}/progress")
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["type"], data["id"]) == ("policy-progress", policy)
    attributes: dict[str, int] = data["attributes"]
    return attributes
