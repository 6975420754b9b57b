"""Lists of many licenses: every page has the entries that are its own, the hundredth too."""

from __future__ import annotations

from typing import Any

import httpx

from ledger.domain.identifiers import partition_of
from ledger.domain.terms import Terms
from ledger.event_log.codec import encode
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.filling import Whose, issues

COUNT = 1_050
SIZE = 10
WINDOW = 100


async def test_the_hundredth_page_has_its_own_entries(ledger: LocalLedger, worker: Worker) -> None:
    ids = await _filled(ledger, worker)
    for number in (1, 2, 50, 99, 100):
        start = (number - 1) * SIZE
        path = f"/v1/licenses?page[number]={number}&page[size]={SIZE}"
        document = await _document(worker.client, path)
        assert [each["id"] for each in document["data"]] == ids[start : start + SIZE], number
        assert document["links"]["next"] is not None


async def test_large_pages_by_number_and_by_cursor_are_the_same(
    ledger: LocalLedger, worker: Worker
) -> None:
    ids = await _filled(ledger, worker)
    numbered: list[str] = []
    for number in range(1, COUNT // WINDOW + 2):
        path = f"/v1/licenses?page[number]={number}&page[size]={WINDOW}"
        numbered += [each["id"] for each in (await _document(worker.client, path))["data"]]
    walked: list[str] = []
    path = f"/v1/licenses?page[cursor]=&page[size]={WINDOW}"
    while path:
        document = await _document(worker.client, path)
        walked += [each["id"] for each in document["data"]]
        path = document["links"]["next"]
    assert numbered == walked == ids


async def _filled(ledger: LocalLedger, worker: Worker) -> list[str]:
    """Append licenses to the log; their ids, the newest first."""
    catalog = worker.catalog
    of = Whose(
        pepper=worker.services.pepper,
        account=catalog.account,
        product=catalog.product,
        policy=catalog.policy,
    )
    ids: list[str] = []
    last: dict[int, int] = {}
    for event in issues(of, COUNT, terms=Terms(max_machines=1)):
        partition = partition_of(event.license, worker.replicas.partitions)
        key, value = event.license.encode(), encode(event)
        appended = await ledger.log.append(Topic.LICENSE_EVENTS, partition, key=key, value=value)
        last[partition] = appended.offset
        ids.append(event.license)
    for partition, offset in last.items():
        await worker.replicas.passing.passed(partition, offset, 60)
    return ids


async def _document(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document
