"""Verdicts that can't be told, and values that can't be shown."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis import Redis

from api.problems import Problem
from ledger.domain.events import Event, Suspended
from ledger.domain.identifiers import random_id
from ledger.event_log.port import Topic
from tests.api.conftest import LocalLedger, Worker
from tests.api.ordering import meta_of, until
from tests.vendor import machine_body


async def test_an_erased_license_is_checked_and_its_key_is_hidden(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    partition = worker.replicas.partition_of(issued["id"])
    for server in ledger.servers:
        with Redis(port=server.port, socket_timeout=5) as client:
            [name] = client.keys(f"{{p{partition:02d}}}:D:{issued['id']}:*")
            client.set(name, b"")
    assert (await meta_of(worker, issued))["code"] == "VALID"
    read = await worker.client.get(f"/v1/licenses/{issued['id']}")
    assert read.json()["data"]["attributes"]["key"] == ""
    assert (await worker.vendor.activate(issued["id"], "after")).status_code == 201
    assert (await meta_of(worker, issued, "after"))["code"] == "VALID"


async def test_a_license_that_froze_meanwhile_has_no_verdict(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """The read before the append saw it live; the poison stands before the activation."""
    for follower in ledger.followers:
        follower.still = True
    key = issued["id"].encode()
    partition = worker.replicas.partition_of(issued["id"])
    await asyncio.sleep(0.05)
    await ledger.log.append(Topic.LICENSE_EVENTS, partition, key=key, value=b"poison")
    asked = asyncio.create_task(
        worker.client.post("/v1/machines", json=machine_body(issued["id"], "g"))
    )
    await until(lambda: worker.replicas.passing.waiting == 1, what="a verdict that is waited for")
    for follower in ledger.followers:
        follower.still = False
    answer = await asked
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "LICENSE_FROZEN"


async def test_a_verdict_that_is_not_remembered_is_not_made_up(
    worker: Worker, issued: dict[str, Any]
) -> None:
    """An imported event is remembered by its source, not as a command."""
    event = Event(
        id=random_id(),
        source="import",
        sequence=1,
        license=issued["id"],
        time_ms=worker.services.clock.check_ms,
        actor="test",
        content_digest="0" * 32,
        data=Suspended(),
    )
    verdicts = worker.services.commands._verdicts  # noqa: SLF001 - no route imports
    with pytest.raises(Problem, match="VERDICT_FORGOTTEN"):
        await verdicts.decide(event, None, asyncio.get_running_loop().time() + 10)


async def test_an_activation_right_after_the_issue_makes_no_second_data_key(
    ledger: LocalLedger, worker: Worker
) -> None:
    licenses = [(await worker.vendor.issue())["id"] for _ in range(5)]
    for license_ in licenses:
        assert (await worker.vendor.activate(license_, "f")).status_code == 201
    for _ in range(3):
        issued = (await worker.vendor.issue())["id"]
        assert (await worker.vendor.activate(issued, "f")).status_code == 201
    made = await ledger.log.ends(Topic.LICENSE_DATA_KEYS)
    assert sum(made.values()) - len(made) == 8


async def test_a_key_waits_a_moment_for_its_data_key(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    """The data keys are another topic: a replica may have the license a little before them."""
    for follower in ledger.followers:
        follower.still = True
    await asyncio.sleep(0.05)
    partition = worker.replicas.partition_of(issued["id"])
    stored: dict[int, tuple[bytes, bytes]] = {}
    for server in ledger.servers:
        with Redis(port=server.port, socket_timeout=5) as client:
            [name] = client.keys(f"{{p{partition:02d}}}:D:{issued['id']}:*")
            stored[server.port] = name, client.getdel(name)
    asked = asyncio.create_task(worker.client.get(f"/v1/licenses/{issued['id']}"))
    await asyncio.sleep(0.1)
    assert not asked.done()
    for port, (name, value) in stored.items():
        with Redis(port=port, socket_timeout=5) as client:
            client.set(name, value)
    read = (await asked).json()["data"]
    assert read["attributes"]["key"] == issued["attributes"]["key"]
