"""A ledger of which only a worker and its host's copy are left, and what that worker is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from api import replicas
from ledger.emergency.orders import Start, encode
from tests.api.conftest import LocalLedger, Worker, new_ledger
from tests.api.ordering import order as ordered
from tests.api.test_local_copy import all_away
from tests.emergency import SETTING, signed, start
from tests.servers import RedisServer
from tests.vendor import resource_body

ORDERS: Final = "/v1/emergency/orders"
UNKNOWN: Final = "nobody-has-ever-heard-of-it"
NOWHERE: Final = "0b7e5a3c-1111-4222-8333-444455556666"


class Left:
    """What was in the ledger before all else went: in `folder`, and here by name.

    `issued` holds a machine, "f". `token`: of a product that is none of theirs.
    """

    def __init__(self, ledger: LocalLedger, folder: Path) -> None:
        self.ledger = ledger
        self.folder = folder
        self.issued: dict[str, Any] = {}
        self.suspended: dict[str, Any] = {}
        self.revoked: dict[str, Any] = {}
        self.expired: dict[str, Any] = {}
        self.token = ""

    async def fill(self, worker: Worker) -> None:
        issue = worker.vendor.issue
        self.issued, self.suspended, self.revoked = [await issue() for _ in range(3)]
        self.expired = await issue(expiry="2019-11-05T08:00:00Z")
        assert (await worker.vendor.activate(self.issued["id"], "f")).status_code == 201
        await ordered(self.ledger, worker, self.suspended["id"], "suspend")
        await ordered(self.ledger, worker, self.revoked["id"], "revoke")
        body = resource_body("products", {"name": "Other"})
        other = (await worker.client.post("/v1/products", json=body)).json()["data"]["id"]
        made = await worker.client.post(f"/v1/products/{other}/tokens")
        self.token = made.json()["data"]["attributes"]["token"]


class Alone:
    """A worker that obeys the tests' key."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.ledger = worker.catalog.ledger
        self.account = worker.catalog.account
        self.product = worker.catalog.product

    async def asked(
        self,
        key: str,
        scope: dict[str, Any] | None = None,
        *,
        account: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Check a key, at the default account's path, another one's (`account`), or none."""
        prefix = "" if account is None else f"/accounts/{account or self.account}"
        return await self.worker.stranger.post(
            f"/v1{prefix}/licenses/actions/validate-key",
            json={"meta": {"key": key, "nonce": 7, "scope": scope or {}}},
            headers=headers,
        )

    async def said(self, key: str, scope: dict[str, Any] | None = None, **how: Any) -> str:  # noqa: ANN401 - as `asked` takes it
        """Code and source of a check's answer, or status and code of an error."""
        answer = await self.asked(key, scope, **how)
        document = answer.json()
        if answer.status_code == httpx.codes.OK:
            return f"{document['meta']['code']} {document['meta']['source']}"
        return f"{answer.status_code} {document['errors'][0]['code']}"

    async def order(self, **what: Any) -> Start:  # noqa: ANN401 - as an order takes it
        """Have an order run; for the default account unless another one is named."""
        order = start(self.ledger, what.pop("account", self.account), **what)
        answer = await self.post(encode(signed(order)))
        assert answer.status_code == httpx.codes.OK, answer.text
        return order

    async def post(self, document: bytes) -> httpx.Response:
        """Give the worker a signed order."""
        headers = {"Content-Type": "application/json"}
        return await self.worker.stranger.post(ORDERS, content=document, headers=headers)

    async def standing(self) -> dict[str, Any]:
        """What it says of its orders."""
        told: dict[str, Any] = (await self.worker.stranger.get("/v1/emergency")).json()["meta"]
        return told


@asynccontextmanager
async def left_alone(redis_pair: list[RedisServer], folder: Path) -> AsyncIterator[Left]:
    """Fill a ledger, copy it to `folder`, and freeze all else; the copy may lack something."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replicas, "FRESH_MS", -1)
        async with new_ledger(redis_pair) as ledger:
            left = Left(ledger, folder)
            await left.fill(await ledger.worker())
            await ledger.copied(folder)
            await all_away(ledger)
            yield left


@asynccontextmanager
async def obedient(ledger: LocalLedger, **more: str) -> AsyncIterator[Alone]:
    """Start a worker that obeys the tests' key, until the block ends."""
    worker = await ledger.worker(**{"LEDGER_EMERGENCY_KEYS": SETTING, **more})
    try:
        yield Alone(worker)
    finally:
        await worker.replicas.stop()
