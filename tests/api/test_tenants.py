"""Two vendors in one ledger: neither sees, changes or guesses anything of the other."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis import Redis

from api.app import ROUTES
from api.routes.accounts import ACCOUNT_ROUTES
from api.routes.endpoint import Route
from tests.api.conftest import LocalLedger, Worker
from tests.vendor import license_body, machine_body, resource_body

SCOPES = {"policy": "policies", "product": "products"}
NOWHERE = "0b7e5a3c-1111-4222-8333-444455556666"


class Tenant:
    """An account with one of everything, and a client that holds its admin token."""

    def __init__(self, worker: Worker, slug: str) -> None:
        self._worker = worker
        self.slug = slug
        self.prefix = f"/v1/accounts/{slug}"
        self.ids: dict[str, str] = {}
        self.key = f"key-of-{slug}"
        self.fingerprint = f"fingerprint-of-{slug}"
        self.token = ""

    async def make(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._worker.client.post(self.prefix + path, json=body)
        assert answer.status_code in {200, 201}, answer.text
        made: dict[str, Any] = answer.json()["data"]
        return made

    async def start(self) -> None:
        body = resource_body("accounts", {"slug": self.slug, "domain": f"{self.slug}.example"})
        answer = await self._worker.client.post("/v1/accounts", json=body)
        assert answer.status_code == 201, answer.text
        self.ids["accounts"] = answer.json()["data"]["id"]
        product = await self.make("/products", resource_body("products", {"name": "P"}))
        policy = await self.make(
            "/policies",
            resource_body(
                "policies",
                {"name": "p", "floating": True, "authenticationStrategy": "MIXED"},
                product=("products", product["id"]),
            ),
        )
        entitlement = await self.make(
            "/entitlements", resource_body("entitlements", {"name": "E", "code": "E"})
        )
        license_ = await self.make("/licenses", license_body(policy["id"], key=self.key))
        machine = await self.make("/machines", machine_body(license_["id"], self.fingerprint))
        token = await self.make("/tokens")
        self.token = token["attributes"]["token"]
        made = (product, policy, entitlement, license_, machine, token)
        self.ids |= {one["type"]: one["id"] for one in made}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        of: Tenant | None = None,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Ask below the account `of` with this tenant's token."""
        return await self.from_outside(method, (of or self).prefix + path, body, headers)

    async def from_outside(
        self, method: str, whole: str, body: object = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Ask for a whole path with this tenant's token."""
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return await self._worker.stranger.request(method, whole, headers=sent, json=body)


@pytest.fixture
async def tenants(ledger: LocalLedger) -> tuple[Tenant, Tenant]:
    worker = await ledger.worker()
    pair = Tenant(worker, "acme"), Tenant(worker, "globex")
    for tenant in pair:
        await tenant.start()
    return pair


def named(path: str, other: Tenant) -> list[str]:
    """Path of a route with the ids, and the key or fingerprint, of another tenant."""
    if "{id}" not in path:
        return []
    kind = path.split("/")[1]
    names = [other.ids[kind]]
    if kind == "licenses":
        names.append(other.key)
    if kind == "machines":
        names.append(other.fingerprint)
    return [path.replace("{id}", name) for name in names]


async def test_no_route_shows_or_changes_what_is_another_s(tenants: tuple[Tenant, Tenant]) -> None:
    tried = 0
    for own, other in (tenants, tenants[::-1]):
        before = await everything(other)
        for route in ROUTES:
            for path in named(route.path, other):
                tried += 1
                theirs = await own.ask(route.method, path, body=_body(route, own))
                assert theirs.status_code in {404, 422}, (route.method, path, theirs.text)
                for secret in (other.key, other.fingerprint, *other.ids.values()):
                    if secret not in path:
                        assert secret not in theirs.text
        assert await everything(other) == before
    assert tried > 50


async def test_a_token_is_nobody_s_at_another_account(tenants: tuple[Tenant, Tenant]) -> None:
    for own, other in (tenants, tenants[::-1]):
        for route in (*ROUTES, *ACCOUNT_ROUTES):
            path = route.path.removeprefix("/v1/accounts/{account}")
            if path == "/v1/accounts":
                continue
            kind = path.split("/")[1] if "/" in path else ""
            path = path.replace("{id}", other.ids.get(kind, NOWHERE))
            answer = await own.ask(route.method, path, of=other, body={})
            assert answer.status_code == 401, (route.method, path)
            assert answer.json()["errors"][0]["code"] == "TOKEN_INVALID"


async def test_lists_show_the_own_only(tenants: tuple[Tenant, Tenant]) -> None:
    for own in tenants:
        for kind in ("products", "policies", "entitlements", "licenses", "machines", "tokens"):
            listed = (await own.ask("GET", f"/{kind}")).json()["data"]
            assert [each["id"] for each in listed] == [own.ids[kind]], kind


async def test_filters_find_nothing_of_another_s(tenants: tuple[Tenant, Tenant]) -> None:
    for own, other in (tenants, tenants[::-1]):
        theirs, key, print_ = other.ids, other.key, other.fingerprint
        for query in (
            *(f"licenses?{kind}={theirs[many]}" for kind, many in SCOPES.items()),
            *(f"machines?{kind}={theirs[many]}" for kind, many in SCOPES.items()),
            f"machines?license={theirs['licenses']}",
            *(f"machines?license={key}", f"machines?key={key}", f"machines?fingerprint={print_}"),
            f"policies?product={theirs['products']}",
            f"tokens?bearer[id]={theirs['accounts']}",
        ):
            found = await own.ask("GET", f"/{query}")
            assert (found.status_code, found.json()["data"]) == (200, []), query
            seen = await other.ask("GET", f"/{query}")
            assert len(seen.json()["data"]) == 1, query


async def test_an_account_that_is_not_there_has_nothing(tenants: tuple[Tenant, Tenant]) -> None:
    own = tenants[0]
    for account in ("nobody", NOWHERE, own.ids["licenses"], own.slug + "%2F"):
        for route in (*ROUTES, *ACCOUNT_ROUTES):
            path = route.path.removeprefix("/v1/accounts/{account}")
            if path == "/v1/accounts":
                continue
            whole = f"/v1/accounts/{account}" + path.replace("{id}", NOWHERE)
            answer = await own.from_outside(route.method, whole)
            assert answer.status_code == 404, (route.method, whole, answer.text)
            assert answer.json()["errors"][0]["code"] == "NOT_FOUND"


async def test_what_was_removed_in_one_account_is_not_repeated_in_another(
    tenants: tuple[Tenant, Tenant],
) -> None:
    own, other = tenants
    for kind in ("machines", "licenses"):
        path, key = f"/{kind}/{own.ids[kind]}", {"Idempotency-Key": f"gone-{kind}"}
        assert (await own.ask("DELETE", path, headers=key)).status_code == 204
        assert (await own.ask("DELETE", path, headers=key)).status_code == 204
        assert (await other.ask("DELETE", path, headers=key)).status_code == 404


async def test_one_key_is_another_license_in_each_account(tenants: tuple[Tenant, Tenant]) -> None:
    for own, other in (tenants, tenants[::-1]):
        body = {"meta": {"key": other.key}}
        checked = await own.ask("POST", "/licenses/actions/validate-key", body=body)
        assert checked.json()["meta"]["code"] == "NOT_FOUND"
        checks = [{"key": other.key}, {"id": other.ids["licenses"]}, {"key": own.key}]
        many = await own.ask(
            "POST", "/licenses/actions/validate-many", body={"meta": {"checks": checks}}
        )
        said = [each["attributes"] for each in many.json()["data"]]
        assert [each["code"] for each in said] == ["NOT_FOUND", "NOT_FOUND", "VALID"]
        assert other.ids["licenses"] not in many.text
        body = {"meta": {"key": own.key}}
        checked = await own.ask("POST", "/licenses/actions/validate-key", body=body)
        assert checked.json()["meta"]["code"] == "VALID"


async def test_a_domain_stands_for_its_account(
    ledger: LocalLedger, tenants: tuple[Tenant, Tenant]
) -> None:
    worker = await ledger.worker()
    for own, other in (tenants, tenants[::-1]):
        headers = {"Host": f"{own.slug.upper()}.example:8443"}
        for key, code in ((own.key, "VALID"), (other.key, "NOT_FOUND")):
            checked = await worker.stranger.post(
                "/v1/licenses/actions/validate-key", json={"meta": {"key": key}}, headers=headers
            )
            assert checked.json()["meta"]["code"] == code


async def test_whose_a_request_is_is_not_guessed_while_the_catalog_can_t_be_read(
    ledger: LocalLedger, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0]
    vendor = (await ledger.worker()).vendor
    own = await vendor.issue(key="a-key-of-the-default-account")
    await lose_the_catalog(ledger)
    worker = await ledger.worker()
    host = {"Host": f"{tenant.slug}.example"}
    check = "/v1/licenses/actions/validate-key"
    key = {"meta": {"key": tenant.key}}
    root = worker.client
    answers = [
        await worker.stranger.post(check, json=key, headers=host),
        await worker.stranger.get(
            "/v1/me", headers={**host, "Authorization": f"License {tenant.key}"}
        ),
        await root.get(f"/v1/licenses/{tenant.ids['licenses']}", headers=host),
    ]
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["errors"][0]["code"] == "CATALOG_BEHIND"
    checks = {"meta": {"checks": [{"key": tenant.key}, {"key": own["attributes"]["key"]}]}}
    many = await root.post("/v1/licenses/actions/validate-many", json=checks, headers=host)
    said = [each["attributes"]["code"] for each in many.json()["data"]]
    assert said == ["UNAVAILABLE", "VALID"]
    known = await worker.stranger.post(check, json={"meta": {"key": own["attributes"]["key"]}})
    assert known.json()["meta"]["code"] == "VALID"


async def lose_the_catalog(ledger: LocalLedger) -> None:
    """Have both replicas hold nothing of the catalog, and nobody fold it again."""
    for follower in ledger.followers:
        await follower.stop()
    for server in ledger.servers:
        with Redis(port=server.port, socket_timeout=5) as client:
            client.delete(*client.keys("{catalog}:*"))


async def test_a_license_s_key_is_a_credential_in_its_account_only(
    ledger: LocalLedger, tenants: tuple[Tenant, Tenant]
) -> None:
    worker = await ledger.worker()
    for own, other in (tenants, tenants[::-1]):
        headers = {"Authorization": f"License {own.key}"}
        good = await worker.stranger.get(f"{own.prefix}/me", headers=headers)
        assert good.json()["data"]["id"] == own.ids["licenses"]
        bad = await worker.stranger.get(f"{other.prefix}/me", headers=headers)
        assert bad.json()["errors"][0]["code"] == "LICENSE_INVALID"


async def everything(tenant: Tenant) -> list[str]:
    """What a tenant has, as it is shown; without what changes by itself."""
    kinds = ("products", "policies", "entitlements", "licenses", "machines", "tokens")
    return [(await tenant.ask("GET", f"/{kind}")).text for kind in kinds]


def _body(route: Route, own: Tenant) -> dict[str, Any] | None:
    """Body that would do something, were the path the tenant's own."""
    if route.body is None:
        return None
    path = route.path
    kind = path.split("/")[1]
    if path.endswith("/policy"):
        return {"data": {"type": "policies", "id": own.ids["policies"]}}
    if path.endswith("/entitlements"):
        return {"data": [{"type": "entitlements", "id": own.ids["entitlements"]}]}
    if path.endswith("/tokens"):
        return resource_body("tokens", {})
    if "/actions/" in path:
        return {}
    return resource_body(kind, {"name": "changed"})
