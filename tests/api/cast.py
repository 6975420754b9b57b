"""Everybody of one account who may ask for something, and something of theirs and of others."""

from __future__ import annotations

from itertools import count
from typing import Any, Literal

import httpx

from projector.views.documents import read_verdict
from tests.api.conftest import TOKEN, Worker
from tests.vendor import license_body, machine_body, resource_body

Side = Literal["mine", "theirs"]
ACCOUNT = "acme"
POLICY = {
    "floating": True,
    "authenticationStrategy": "MIXED",
    "requireCheckIn": True,
    "checkInInterval": "day",
    "duration": 86_400,
}


class Cast:
    """Two products with a policy and licenses each, and one credential of each role.

    What is `mine` belongs to the first product, or for the role license to its license; what is
    `theirs` to the other product, or to another license of the same policy.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._numbers = count()
        self.accounts: dict[Side, str] = {"mine": ACCOUNT, "theirs": "globex"}
        self.products: dict[Side, str] = {}
        self.policies: dict[Side, str] = {}
        self.licenses: dict[Side, str] = {}
        self.keys: dict[str, str] = {}
        self.bearers: dict[str, str] = {}
        self.tokens: dict[str, str] = {"root": TOKEN}

    async def start(self) -> None:
        """Make everybody."""
        for slug in self.accounts.values():
            body = resource_body("accounts", {"slug": slug})
            assert (await self._root("POST", "/v1/accounts", body)).status_code == 201
        sides: tuple[Side, ...] = ("mine", "theirs")
        for side in sides:
            product = await self.made("/products", resource_body("products", {"name": side}))
            self.products[side] = product["id"]
            self.policies[side] = await self.policy(side)
        for side in sides:
            self.licenses[side] = await self.license("mine")
        self.tokens["admin"] = await self._token("/tokens")
        self.tokens["product"] = await self._token(f"/products/{self.products['mine']}/tokens")
        self.tokens["license"] = await self._token(f"/licenses/{self.licenses['mine']}/tokens")

    async def _token(self, path: str) -> str:
        text: str = (await self.made(path))["attributes"]["token"]
        return text

    async def _root(self, method: str, path: str, body: object = None) -> httpx.Response:
        return await self._worker.client.request(method, path, json=body)

    async def made(self, path: str, body: object = None) -> dict[str, Any]:
        """Make something in the account, or do something there; its resource."""
        answer = await self._root("POST", f"/v1/accounts/{ACCOUNT}{path}", body)
        assert answer.status_code in {200, 201}, answer.text
        resource: dict[str, Any] = answer.json()["data"]
        return resource

    async def ask(self, role: str, method: str, path: str, body: object = None) -> httpx.Response:
        """Ask with the credential of a role; `nobody` has none."""
        headers = {}
        if role in self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return await self._worker.stranger.request(method, path, headers=headers, json=body)

    def unused(self) -> str:
        """Text that nothing has been named yet."""
        return f"number-{next(self._numbers)}"

    async def policy(self, side: Side) -> str:
        """Make a policy of a product."""
        product = ("products", self.products[side])
        body = resource_body("policies", {"name": "p", **POLICY}, product=product)
        id_: str = (await self.made("/policies", body))["id"]
        return id_

    async def license(self, side: Side) -> str:
        """Make a license of a product, used once."""
        key = self.unused()
        body = license_body(self.policies[side], key=key)
        id_: str = (await self.made("/licenses", body))["id"]
        await self.made(f"/licenses/{id_}/actions/increment-usage")
        self.keys[id_] = key
        return id_

    async def command(self, license_: str) -> str:
        """The last command on a license that was decided, as its URL ends."""
        replicas, ledger = self._worker.replicas, self._worker.catalog.ledger
        place = replicas.partition_of(license_)
        [member] = await replicas.newest(place, lambda keys: keys.commands(license_), 0, 1)
        command = member.partition(":")[2]
        reading = await replicas.read(place, lambda keys: (keys.command(license_, command),))
        [document] = reading.values
        assert document is not None
        verdict = read_verdict(document)
        position = f"{ledger}:{place}.{verdict.offset}"
        return f"{command}?position={position}&content={verdict.content_digest[:16]}"

    async def license_for(self, role: str, side: Side) -> str:
        """License that is theirs to see, or not: a new one but for the role license."""
        return self.licenses[side] if role == "license" else await self.license(side)

    async def subject(self, role: str, kind: str, side: Side) -> str:
        """Id of something of a kind that is theirs to see, or not."""
        if kind == "products":
            return self.products[side]
        if kind == "policies":
            return self.policies[side] if role == "license" else await self.policy(side)
        if kind == "entitlements":
            return await self.entitlement()
        license_ = await self.license_for(role, side)
        if kind == "machines":
            id_: str = (await self.made("/machines", machine_body(license_, self.unused())))["id"]
            return id_
        if kind == "tokens":
            token: str = (await self.made(f"/licenses/{license_}/tokens"))["id"]
            self.bearers[token] = license_
            return token
        return license_

    async def entitlement(self) -> str:
        """Make an entitlement."""
        body = resource_body("entitlements", {"name": "E", "code": self.unused()})
        id_: str = (await self.made("/entitlements", body))["id"]
        return id_
