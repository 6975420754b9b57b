"""A vendor's desk in tests: policies, licenses of them, and what is ordered about these."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.conftest import Worker
from tests.vendor import license_body, resource_body


class Desk:
    """A vendor's desk: policies and licenses of them, and what is ordered about these."""

    def __init__(self, worker: Worker) -> None:
        self._client = worker.client
        self._product = worker.catalog.product

    async def policy(self, **attributes: object) -> str:
        body = resource_body(
            "policies",
            {"name": "p", "floating": True, **attributes},
            product=("products", self._product),
        )
        answer = await self._client.post("/v1/policies", json=body)
        assert answer.status_code == 201, answer.text
        id_: str = answer.json()["data"]["id"]
        return id_

    async def license(self, policy: str, **attributes: object) -> dict[str, Any]:
        answer = await self._client.post("/v1/licenses", json=license_body(policy, **attributes))
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made

    async def order(self, license_: dict[str, Any], action: str, **meta: object) -> httpx.Response:
        body = {"meta": meta} if meta else None
        path = f"/v1/licenses/{license_['id']}/actions/{action}"
        return await self._client.post(path, json=body)

    async def change(self, license_: dict[str, Any], **attributes: object) -> httpx.Response:
        body = resource_body("licenses", attributes)
        return await self._client.patch(f"/v1/licenses/{license_['id']}", json=body)

    async def move(self, license_: dict[str, Any], policy: str) -> httpx.Response:
        body = {"data": {"type": "policies", "id": policy}}
        return await self._client.put(f"/v1/licenses/{license_['id']}/policy", json=body)

    async def check(self, license_: dict[str, Any], **scope: object) -> tuple[str, bool]:
        body = {"meta": {"key": license_["attributes"]["key"], "scope": scope}}
        answer = await self._client.post("/v1/licenses/actions/validate-key", json=body)
        meta = answer.json()["meta"]
        return meta["code"], meta["valid"]
