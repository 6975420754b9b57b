"""A vendor's back end in tests: asks a worker, and repeats what was not answered, safely."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from ledger.domain.identifiers import slug_id

REPEAT_S = 90.0
_PAUSE_S = 0.2


class UnsettledError(AssertionError):
    """No final answer within the limit."""


def license_body(policy: str, **attributes: object) -> dict[str, Any]:
    """Body of POST licenses."""
    linkage = {"policy": {"data": {"type": "policies", "id": policy}}}
    return {"data": {"type": "licenses", "attributes": attributes, "relationships": linkage}}


def machine_body(license_: str, fingerprint: str, **attributes: object) -> dict[str, Any]:
    """Body of POST machines."""
    return {
        "data": {
            "type": "machines",
            "attributes": {"fingerprint": fingerprint, **attributes},
            "relationships": {"license": {"data": {"type": "licenses", "id": license_}}},
        }
    }


def resource_body(
    type_: str, attributes: dict[str, Any], **related: tuple[str, str]
) -> dict[str, Any]:
    """Body of a POST or PATCH of one resource; `related`: type and id by relationship."""
    relationships = {
        name: {"data": {"type": kind, "id": id_}} for name, (kind, id_) in related.items()
    }
    data: dict[str, Any] = {"type": type_, "attributes": attributes}
    return {"data": {**data, "relationships": relationships} if related else data}


async def settled(
    clients: list[httpx.AsyncClient], path: str, body: dict[str, Any], *, key: str | None = None
) -> httpx.Response:
    """POST until the answer is final (no 503, no lost connection), worker after worker.

    Every try carries the same Idempotency-Key, so repeating is safe. Raises `UnsettledError`.
    """
    headers = {"Idempotency-Key": key or uuid4().hex}
    last: object = None
    deadline = asyncio.get_running_loop().time() + REPEAT_S
    tried = 0
    while asyncio.get_running_loop().time() < deadline:
        client = clients[tried % len(clients)]
        tried += 1
        try:
            answer = await client.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            last = repr(error)
        else:
            if answer.status_code not in {503, 429}:
                return answer
            last = answer.text
        await asyncio.sleep(_PAUSE_S)
    msg = f"{path}: not settled after {tried} tries in {REPEAT_S} s; last: {last}"
    raise UnsettledError(msg)


class Vendor:
    """What a vendor does, at any of the workers; `ledger` is the ledger's id."""

    def __init__(self, clients: list[httpx.AsyncClient], ledger: str) -> None:
        self.clients = clients
        self.policy = slug_id(ledger, "policy", "standard")

    async def issue(self, *, key: str | None = None, **attributes: object) -> dict[str, Any]:
        """Issue a license; its resource."""
        body = license_body(self.policy, **attributes)
        answer = await settled(self.clients, "/v1/licenses", body, key=key)
        assert answer.status_code == httpx.codes.CREATED, answer.text
        resource: dict[str, Any] = answer.json()["data"]
        return resource

    async def activate(
        self, license_: str, fingerprint: str, *, key: str | None = None, **attributes: object
    ) -> httpx.Response:
        """Activate a machine; the final answer."""
        body = machine_body(license_, fingerprint, **attributes)
        return await settled(self.clients, "/v1/machines", body, key=key)

    async def check(self, key: str, **scope: object) -> dict[str, Any]:
        """Check by key at the first worker; the answer's document."""
        body = {"meta": {"key": key, "scope": scope}}
        answer = await settled(self.clients[:1], "/v1/licenses/actions/validate-key", body)
        assert answer.status_code == httpx.codes.OK, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def license(self, id_: str) -> dict[str, Any]:
        """Read a license at the first worker; its resource."""
        answer = await self.clients[0].get(f"/v1/licenses/{id_}")
        assert answer.status_code == httpx.codes.OK, answer.text
        resource: dict[str, Any] = answer.json()["data"]
        return resource
