"""Ledger-At-Least: a check from a state that knows of what its caller has seen, or none."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import LocalLedger, Worker
from tests.vendor import machine_body

BY_KEY = "/v1/licenses/actions/validate-key"


async def check(
    worker: Worker, license_: dict[str, Any], at_least: str, **scope: object
) -> httpx.Response:
    """Check by key and by id; both say the same of it."""
    meta = {"scope": scope} if scope else {}
    headers = {"Ledger-At-Least": at_least}
    path = f"/v1/licenses/{license_['id']}/actions/validate"
    by_key, by_id = await asyncio.gather(
        worker.stranger.post(
            BY_KEY, json={"meta": {"key": license_["attributes"]["key"], **meta}}, headers=headers
        ),
        worker.client.post(path, json={"meta": meta}, headers=headers),
    )
    assert by_key.status_code == by_id.status_code
    return by_key


def still(ledger: LocalLedger, *, held: bool) -> None:
    for follower in ledger.followers:
        follower.still = held


async def test_what_another_worker_has_answered_is_known_or_waited_for(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    answer = await worker.vendor.activate(issued["id"], "g")
    at_least = answer.headers["ledger-position"]
    other = await ledger.worker()
    checked = await check(other, issued, at_least, fingerprint="g")
    meta = checked.json()["meta"]
    assert meta["code"] == "VALID"
    assert int(meta["position"].rpartition(".")[2]) >= int(at_least.rpartition(".")[2])


async def test_a_state_that_lacks_it_is_waited_for_and_never_answered_from(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    still(ledger, held=True)
    partition = worker.replicas.partition_of(issued["id"])
    end = (await ledger.ends())[partition]
    at_least = f"{ledger.first.ledger}:{partition}.{end}"
    answer = await check(worker, issued, at_least)
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["code"] == "REPLICA_BEHIND"
    # Without the header the state of before is told, as ever.
    plain = await worker.stranger.post(BY_KEY, json={"meta": {"key": issued["attributes"]["key"]}})
    assert plain.json()["meta"]["code"] == "VALID"

    waiting = asyncio.create_task(check(worker, issued, at_least, fingerprint="late"))
    activating = asyncio.create_task(
        worker.client.post("/v1/machines", json=machine_body(issued["id"], "late"))
    )
    while (await ledger.ends())[partition] == end:
        await asyncio.sleep(0.005)
    still(ledger, held=False)
    assert (await activating).status_code == 201
    assert (await waiting).json()["meta"]["code"] == "VALID"


async def test_a_position_of_another_partition_asks_nothing_of_this_one(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any]
) -> None:
    other = (worker.replicas.partition_of(issued["id"]) + 1) % 4
    answer = await check(worker, issued, f"{ledger.first.ledger}:{other}.999999")
    assert answer.json()["meta"]["code"] == "VALID"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "POSITION_INVALID"),
        ("7", "POSITION_INVALID"),
        ("{ledger}:1", "POSITION_INVALID"),
        ("{ledger}:1.x", "POSITION_INVALID"),
        ("{ledger}:1.9999999999999999999", "POSITION_INVALID"),
        ("00000000-0000-4000-8000-000000000000:1.5", "POSITION_OF_ANOTHER_LEDGER"),
    ],
)
async def test_what_is_no_position_of_this_ledger_is_refused_by_name(
    ledger: LocalLedger, worker: Worker, issued: dict[str, Any], text: str, code: str
) -> None:
    answer = await check(worker, issued, text.format(ledger=ledger.first.ledger))
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["code"] == code
    assert error["source"] == {"header": "Ledger-At-Least"}
