"""Lists of many licenses: every page has the entries that are its own, the hundredth too."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.lists import AT_ONCE
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


async def test_a_crowd_of_lists_takes_turns_and_all_are_answered(
    ledger: LocalLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await _filled(ledger, worker)
    lists = worker.services.lists
    licenses, at_once, most = lists.licenses, 0, 0

    async def counted(*arguments: Any, **named: Any) -> object:  # noqa: ANN401 - passed on as they are
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await licenses(*arguments, **named)
        finally:
            at_once -= 1

    monkeypatch.setattr(lists, "licenses", counted)
    path = f"/v1/licenses?page[number]=2&page[size]={WINDOW}"
    documents = await asyncio.gather(*(_document(worker.client, path) for _ in range(40)))
    for document in documents:
        assert [each["id"] for each in document["data"]] == ids[WINDOW : 2 * WINDOW]
    assert most == AT_ONCE


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
