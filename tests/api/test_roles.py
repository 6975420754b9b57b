"""Who may do what: each cell of the table in docs/api/roles.md is asked for, by who it is about."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import httpx
import pytest
import pytest_asyncio

from api.app import ROUTES
from api.routes.accounts import ACCOUNT_ROUTES
from tests.api.cast import ACCOUNT, Cast, Side
from tests.api.conftest import new_ledger
from tests.servers import ROOT, RedisServer
from tests.vendor import license_body, machine_body, resource_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROLES: Final = ("root", "admin", "product", "license", "nobody")
SUCCESS: Final = {
    (route.method, route.path.removeprefix("/v1")): route.success
    for route in (*ROUTES, *ACCOUNT_ROUTES)
}
_ROW: Final = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `(/[^`]+)` \| (.+) \|$", re.MULTILINE)


class Cell(NamedTuple):
    """A cell of the table."""

    role: str
    method: str
    path: str
    says: str


def _cells() -> list[Cell]:
    text = (ROOT / "docs" / "api" / "roles.md").read_text(encoding="utf-8")
    return [
        Cell(role, method, path, says)
        for method, path, cells in _ROW.findall(text)
        for role, says in zip(ROLES, cells.split(" | "), strict=True)
    ]


CELLS: Final = _cells()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cast(redis_pair: list[RedisServer]) -> AsyncIterator[Cast]:
    async with new_ledger(redis_pair) as ledger:
        everybody = Cast(await ledger.worker())
        await everybody.start()
        yield everybody


async def test_the_table_has_every_route_once_and_no_other() -> None:
    rows = [(cell.method, cell.path) for cell in CELLS if cell.role == "root"]
    assert sorted(rows) == sorted(SUCCESS)
    assert {cell.says for cell in CELLS} == {"yes", "own", "no"}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.method} {cell.path} {cell.role}")
async def test_who_may_do_what(cast: Cast, cell: Cell) -> None:
    answer, subject = await asked(cast, cell, "mine")
    if cell.says == "no":
        refused = (401, "TOKEN_MISSING") if cell.role == "nobody" else (403, "ROLE_NOT_ALLOWED")
        if cell.path == "/accounts" and cell.role != "nobody":
            # It is asked of the default account, where other accounts' credentials are unknown.
            refused = (401, "TOKEN_INVALID")
        assert (answer.status_code, code_of(answer)) == refused
        return
    assert answer.status_code == SUCCESS[cell.method, cell.path], answer.text
    if is_list(cell):
        assert subject in listed(answer)
    if cell.path == "/licenses/actions/validate-many":
        said = [each["attributes"]["license"] for each in answer.json()["data"]]
        assert said == [subject] * 2
    if cell.says == "own":
        answer, subject = await asked(cast, cell, "theirs")
        assert is_hidden(cell, answer, subject), answer.text
    elif cell.path == "/licenses/actions/validate-key":
        assert answer.json()["data"] is not None


async def asked(cast: Cast, cell: Cell, side: Side) -> tuple[httpx.Response, str]:
    """Ask for what a cell is about; the answer, and the id of what was asked about."""
    role, method, path = cell.role, cell.method, cell.path
    if path.startswith("/accounts"):
        whole = "/v1" + path.replace("{account}", cast.accounts[side])
        attributes = {"name": "A"} if "{" in path else {"slug": cast.unused()}
        body = None if method == "GET" else resource_body("accounts", attributes)
        return await cast.ask(role, method, whole, body), ""
    kind = path.split("/")[1]
    subject = "" if kind == "me" else await cast.subject(role, kind, side)
    if (method, path) == ("DELETE", "/products/{id}"):
        made = await cast.made("/products", resource_body("products", {"name": "to go"}))
        subject = made["id"]
    body = await body_of(cast, cell, side, subject)
    whole = f"/v1/accounts/{ACCOUNT}" + path.replace("{id}", subject)
    if "{command}" in path:
        whole = whole.replace("{command}", await cast.command(subject))
    query = "?limit=100" if is_list(cell) else ""
    if (role, method, path) == ("product", "GET", "/tokens"):
        # Without it only the product's own are listed.
        query += f"&bearer[id]={cast.bearers[subject]}"
    return await cast.ask(role, method, whole + query, body), subject


async def body_of(cast: Cast, cell: Cell, side: Side, subject: str) -> dict[str, Any] | None:
    """Body for what a cell is about, after what has to come before."""
    method, path = cell.method, cell.path
    kind, last = path.split("/")[1], path.rsplit("/", 1)[-1]
    if method == "GET":
        return None
    if last == "validate-key":
        return {"meta": {"key": cast.keys[subject]}}
    if last == "validate-many":
        return {"meta": {"checks": [{"key": cast.keys[subject]}, {"id": subject}]}}
    if last == "reinstate" and cell.says != "no":
        await cast.made(f"/licenses/{subject}/actions/suspend")
    if last == "policy":
        return {"data": {"type": "policies", "id": await cast.policy(side)}}
    if last == "entitlements" and path != "/entitlements":
        linked = {"data": [{"type": "entitlements", "id": await cast.entitlement()}]}
        if method == "DELETE":
            await cast.made(path.replace("{id}", subject), linked)
        return linked
    if method == "POST" and path == f"/{kind}":
        return await new_body(cast, cell, side)
    return resource_body(kind, {"name": "changed"}) if method == "PATCH" else None


async def new_body(cast: Cast, cell: Cell, side: Side) -> dict[str, Any] | None:
    """Body that makes something new of what is theirs to see, or not."""
    kind = cell.path[1:]
    if kind == "licenses":
        return license_body(cast.policies[side], key=cast.unused())
    if kind == "machines":
        return machine_body(await cast.license_for(cell.role, side), cast.unused())
    if kind == "policies":
        return resource_body(kind, {"name": "p"}, product=("products", cast.products[side]))
    if kind == "tokens":
        return None
    code = {"code": cast.unused()} if kind == "entitlements" else {}
    return resource_body(kind, {"name": "new", **code})


def is_list(cell: Cell) -> bool:
    return cell.method == "GET" and cell.path in {
        f"/{kind}"
        for kind in ("licenses", "machines", "products", "policies", "entitlements", "tokens")
    }


def listed(answer: httpx.Response) -> list[str]:
    return [each["id"] for each in answer.json()["data"]]


def is_hidden(cell: Cell, answer: httpx.Response, subject: str) -> bool:
    """Whether the answer is one for what isn't theirs to see."""
    if is_list(cell):
        return answer.status_code == 200 and subject not in listed(answer)
    if cell.path == "/licenses/actions/validate-key":
        said = answer.json()
        return said["data"] is None and said["meta"]["code"] == "NOT_FOUND"
    if cell.path == "/licenses/actions/validate-many":
        said = [each["attributes"] for each in answer.json()["data"]]
        return [(each["code"], each["license"]) for each in said] == [("NOT_FOUND", None)] * 2
    expected = {
        "/licenses": (422, "POLICY_NOT_FOUND"),
        "/policies": (422, "PRODUCT_NOT_FOUND"),
        "/accounts/{account}": (401, "TOKEN_INVALID"),
    }.get(cell.path, (404, "NOT_FOUND"))
    return (answer.status_code, code_of(answer)) == expected


def code_of(answer: httpx.Response) -> str:
    code: str = answer.json()["errors"][0]["code"]
    return code


async def test_a_product_sees_and_ends_the_tokens_of_its_licenses(cast: Cast) -> None:
    license_ = await cast.license("mine")
    token = (await cast.made(f"/licenses/{license_}/tokens"))["id"]
    path = f"/v1/accounts/{ACCOUNT}/tokens"
    named = await cast.ask("product", "GET", f"{path}?bearer[id]={license_}")
    assert listed(named) == [token]
    other = await cast.license("theirs")
    await cast.made(f"/licenses/{other}/tokens")
    assert listed(await cast.ask("product", "GET", f"{path}?bearer[id]={other}")) == []
    assert (await cast.ask("product", "DELETE", f"{path}/{token}")).status_code == 204


async def test_a_fingerprint_means_the_machine_of_who_asks(cast: Cast) -> None:
    fingerprint = cast.unused()
    for side in ("theirs", "mine"):
        body = machine_body(cast.licenses[side], fingerprint)
        own = (await cast.made("/machines", body))["id"]
    found = await cast.ask("license", "GET", f"/v1/accounts/{ACCOUNT}/machines/{fingerprint}")
    assert found.json()["data"]["id"] == own


@pytest.mark.parametrize("by", ["license", "policy"])
async def test_a_protected_license_moves_no_machines_itself(cast: Cast, by: str) -> None:
    license_ = cast.licenses["mine"]
    machine = (await cast.made("/machines", machine_body(license_, cast.unused())))["id"]
    kind, id_ = ("licenses", license_) if by == "license" else ("policies", cast.policies["mine"])
    subject = f"/v1/accounts/{ACCOUNT}/{kind}/{id_}"
    if by == "policy":
        # A policy's change reaches its licenses later: a transfer to it brings it at once.
        link = {"data": {"type": "policies", "id": id_}}
    machines = f"/v1/accounts/{ACCOUNT}/machines"
    try:
        protect = resource_body(kind, {"protected": True})
        assert (await cast.ask("admin", "PATCH", subject, protect)).status_code == 200
        if by == "policy":
            whole = f"/v1/accounts/{ACCOUNT}/licenses/{license_}/policy"
            assert (await cast.ask("admin", "PUT", whole, link)).status_code == 200
        added = await cast.ask("license", "POST", machines, machine_body(license_, cast.unused()))
        removed = await cast.ask("license", "DELETE", f"{machines}/{machine}")
        for answer in (added, removed):
            assert (answer.status_code, code_of(answer)) == (403, "LICENSE_PROTECTED")
        assert (await cast.ask("product", "DELETE", f"{machines}/{machine}")).status_code == 204
    finally:
        free = resource_body(kind, {"protected": False if by == "policy" else None})
        assert (await cast.ask("admin", "PATCH", subject, free)).status_code == 200
