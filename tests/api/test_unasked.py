"""What a write is sent is done or refused by name: nothing is dropped in silence."""

from __future__ import annotations

from typing import Any, Final

import httpx
import pytest

from api.app import FORMS
from api.openapi.examples import BODIES
from api.routes.endpoint import Route
from tests.api.cast import ACCOUNT, Cast
from tests.api.conftest import Worker
from tests.vendor import resource_body

NOWHERE = "0b7e5a3c-1111-4222-8333-444455556666"
ROUTES: Final = {(form.route.method, form.route.path): form.route for form in FORMS}.values()
WRITES: Final = [route for route in ROUTES if route.writes]
BARE = [route for route in WRITES if route.body is None]
RESOURCES = [
    route
    for route in WRITES
    if route.body is not None and "attributes" in BODIES[route.body.__name__].get("data", {})
]


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
async def cast(worker: Worker) -> Cast:
    cast = Cast(worker)
    await cast.start()
    return cast


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    [error] = answer.json()["errors"]
    return answer.status_code, error["code"], error["source"]["pointer"]


async def ask(cast: Cast, route: Route, body: object, subject: str = "") -> httpx.Response:
    if route.path.startswith("/v1/accounts"):
        return await cast.ask("root", route.method, route.path.format(account=ACCOUNT), body)
    path = f"/v1/accounts/{ACCOUNT}" + route.path.replace("{id}", subject)
    return await cast.ask("root", route.method, path, body)


async def subject_of(cast: Cast, route: Route) -> str:
    if "{id}" not in route.path:
        return ""
    return await cast.subject("root", route.path.split("/")[1], "mine")


def body_of(route: Route) -> dict[str, Any]:
    assert route.body is not None
    data = BODIES[route.body.__name__]["data"]
    return {"data": {**data, "attributes": dict(data["attributes"])}}


@pytest.mark.parametrize("route", BARE, ids=named)
async def test_a_write_without_a_body_takes_none(worker: Worker, cast: Cast, route: Route) -> None:
    subject = await subject_of(cast, route)
    refused = await ask(cast, route, {"meta": {"reason": "unpaid"}}, subject)
    assert error_of(refused) == (400, "MEMBER_UNKNOWN", "/meta")
    empty = await ask(cast, route, {}, subject)
    assert "MEMBER_UNKNOWN" not in empty.text


@pytest.mark.parametrize("route", RESOURCES, ids=named)
async def test_an_unknown_member_is_named(worker: Worker, cast: Cast, route: Route) -> None:
    subject = await subject_of(cast, route)
    for place in ("", "/data", "/data/attributes", "/data/relationships"):
        body = body_of(route)
        at: dict[str, Any] = body
        for step in place.split("/")[1:]:
            at[step] = dict(at.get(step, {}))
            at = at[step]
        at["color"] = "red"
        status, code, pointer = error_of(await ask(cast, route, body, subject))
        assert (status, code) == (400, "MEMBER_UNKNOWN"), place
        # Accounts have no relationships at all.
        assert pointer in {f"{place}/color", "/data/relationships"}


@pytest.mark.parametrize("route", RESOURCES, ids=named)
async def test_a_relationship_that_is_not_made_is_named(
    worker: Worker, cast: Cast, route: Route
) -> None:
    body = body_of(route)
    related = {"environment": {"data": {"type": "environments", "id": NOWHERE}}}
    body["data"]["relationships"] = {**body["data"].get("relationships", {}), **related}
    answer = await ask(cast, route, body, await subject_of(cast, route))
    status, _, pointer = error_of(answer)
    assert status in {400, 422}
    assert pointer.startswith("/data/relationships")


@pytest.mark.parametrize("route", RESOURCES, ids=named)
async def test_an_id_is_that_of_the_path_or_none(worker: Worker, cast: Cast, route: Route) -> None:
    subject = await subject_of(cast, route)
    body = body_of(route)
    body["data"]["id"] = NOWHERE
    status, _, pointer = error_of(await ask(cast, route, body, subject))
    assert (status, pointer) == (400, "/data/id")


@pytest.mark.parametrize("kind", ["licenses", "machines", "policies", "products", "entitlements"])
async def test_a_change_may_say_whose_it_is(worker: Worker, cast: Cast, kind: str) -> None:
    subject = await cast.subject("root", kind, "mine")
    body = resource_body(kind, {"name": "changed"})
    body["data"] |= {"id": subject, "relationships": {}}
    answer = await cast.ask("root", "PATCH", f"/v1/accounts/{ACCOUNT}/{kind}/{subject}", body)
    assert answer.status_code == 200, answer.text


async def test_a_license_s_policy_and_a_policy_s_product_are_not_changed_in_passing(
    worker: Worker, cast: Cast
) -> None:
    license_, policy = cast.licenses["mine"], cast.policies["mine"]

    async def changed(kind: str, id_: str, **related: tuple[str, str]) -> httpx.Response:
        body = resource_body(kind, {"name": "n"}, **related)
        return await cast.ask("root", "PATCH", f"/v1/accounts/{ACCOUNT}/{kind}/{id_}", body)

    moved = await changed("licenses", license_, policy=("policies", cast.policies["theirs"]))
    assert error_of(moved) == (422, "ATTRIBUTE_FIXED", "/data/relationships/policy")
    taken = await changed("policies", policy, product=("products", cast.products["theirs"]))
    assert error_of(taken) == (422, "ATTRIBUTE_FIXED", "/data/relationships/product")
    kept = await changed("policies", policy, product=("products", cast.products["mine"]))
    assert kept.status_code == 200


class Renewing:
    """A token that is given new secrets."""

    def __init__(self, cast: Cast, id_: str) -> None:
        self._cast, self._path = cast, f"/v1/accounts/{ACCOUNT}/tokens/{id_}"

    async def put(self, role: str = "root", **attributes: object) -> httpx.Response:
        return await self._cast.ask(role, "PUT", self._path, resource_body("tokens", attributes))

    async def shown(self) -> dict[str, Any]:
        answer = await self._cast.ask("root", "GET", self._path)
        attributes: dict[str, Any] = answer.json()["data"]["attributes"]
        return attributes


async def test_a_new_secret_keeps_what_it_does_not_change(worker: Worker, cast: Cast) -> None:
    body = resource_body("tokens", {"name": "ci", "expiry": "2099-01-01T00:00:00Z"})
    renewing = Renewing(cast, (await cast.made("/tokens", body))["id"])
    first = await renewing.shown()
    for attributes, pointer in (
        ({"name": "other"}, "name"),
        ({"name": None}, "name"),
        ({"permissions": ["license.read"]}, "permissions"),
        ({"maxActivations": 3}, "maxActivations"),
    ):
        answer = await renewing.put(**attributes)
        status, _, at = error_of(answer)
        assert (status, at) == (422, f"/data/attributes/{pointer}")
    assert (await renewing.put(name="ci", expiry="2099-01-01T01:00:00+01:00")).status_code == 200
    assert {**await renewing.shown(), "updated": ""} == {**first, "updated": ""}


async def test_a_new_secret_may_end_at_another_time(worker: Worker, cast: Cast) -> None:
    renewing = Renewing(cast, (await cast.made("/tokens"))["id"])
    answer = await renewing.put(expiry="2098-01-01T00:00:00Z")
    assert answer.json()["data"]["attributes"]["expiry"] == "2098-01-01T00:00:00.000Z"
    assert (await renewing.shown())["expiry"] == "2098-01-01T00:00:00.000Z"
    assert (await renewing.put(expiry=None)).status_code == 200
    assert (await renewing.shown())["expiry"] is None


async def test_who_holds_a_token_does_not_put_off_its_end(worker: Worker, cast: Cast) -> None:
    path = f"/licenses/{cast.licenses['mine']}/tokens"
    body = resource_body("tokens", {"expiry": "2099-01-01T00:00:00Z"})
    made = await cast.made(path, body)
    cast.tokens["license"] = made["attributes"]["token"]
    renewing = Renewing(cast, made["id"])
    for expiry in (None, "2100-01-01T00:00:00Z"):
        refused = await renewing.put("license", expiry=expiry)
        assert error_of(refused) == (403, "ROLE_NOT_ALLOWED", "/data/attributes/expiry")
    assert (await renewing.put("product", expiry="2100-01-01T00:00:00Z")).status_code == 200
    assert (await renewing.shown())["expiry"] == "2100-01-01T00:00:00.000Z"


async def test_a_repetition_has_the_same_end_or_is_told_apart(worker: Worker, cast: Cast) -> None:
    id_ = (await cast.made("/tokens"))["id"]
    path, headers = f"/v1/accounts/{ACCOUNT}/tokens/{id_}", {"Idempotency-Key": "renewal"}

    async def put(year: int) -> httpx.Response:
        body = resource_body("tokens", {"expiry": f"{year}-01-01T00:00:00Z"})
        return await worker.client.put(path, json=body, headers=headers)

    first, again, other = await put(2098), await put(2098), await put(2097)
    assert first.status_code == again.status_code == 200
    assert again.json()["data"] == first.json()["data"]
    assert other.json()["errors"][0]["code"] == "IDEMPOTENCY_MISMATCH"
