"""Entitlements: named rights of policies and licenses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.catalog.bodies import EntitlementBody, entitlement_bodies
from api.catalog.requests import entitlement_changed, entitlement_created
from api.principals import SELLERS, STAFF
from api.requests import check_type
from api.routes.call import Call
from api.routes.catalog import decided, found, listed, one, removed, shown
from api.routes.endpoint import Route
from api.unchanged import Related, check_id, refuse_related
from ledger.domain.catalog.entities import Entitlement
from ledger.domain.catalog.events import EntitlementDeleted


async def create(call: Call) -> Response:
    """POST entitlements."""
    body = await _body(call)
    check_id(body.data.id)
    outcome = await decided(call, entitlement_created(body.data.attributes))
    return await shown(call, outcome, status=HTTPStatus.CREATED)


async def read(call: Call) -> Response:
    """GET entitlements/{id}."""
    return one(await _found(call))


async def list_entitlements(call: Call) -> Response:
    """GET entitlements."""
    return await listed(call, Entitlement, sees=lambda _: True)


async def change(call: Call) -> Response:
    """PATCH entitlements/{id}."""
    entitlement = await _found(call)
    body = await _body(call)
    check_id(body.data.id, entitlement.id)
    data = entitlement_changed(body.data.attributes, code=entitlement.code)
    outcome = await decided(call, data, entity=entitlement.id)
    return await shown(call, outcome, status=HTTPStatus.OK)


async def delete(call: Call) -> Response:
    """DELETE entitlements/{id}."""
    return await removed(call, EntitlementDeleted(), _found)


async def _found(call: Call) -> Entitlement:
    return await found(call, Entitlement, sees=lambda _: True)


async def _body(call: Call) -> EntitlementBody:
    body = await call.body(entitlement_bodies)
    check_type(body.data.type, "entitlements", "/data/type")
    refuse_related(body.data.relationships or Related())
    return body


ROUTES: Final = (
    Route(
        method="POST",
        path="/entitlements",
        handler=create,
        success=201,
        summary="Create an entitlement",
        roles=STAFF,
        body=EntitlementBody,
        writes=True,
    ),
    Route(
        method="GET",
        path="/entitlements",
        handler=list_entitlements,
        success=200,
        summary="List entitlements, newest first",
        roles=SELLERS,
    ),
    Route(
        method="GET",
        path="/entitlements/{id}",
        handler=read,
        success=200,
        summary="Read an entitlement",
        roles=SELLERS,
    ),
    Route(
        method="PATCH",
        path="/entitlements/{id}",
        handler=change,
        success=200,
        summary="Change an entitlement, but for its code",
        roles=STAFF,
        body=EntitlementBody,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/entitlements/{id}",
        handler=delete,
        success=204,
        summary="Delete an entitlement",
        roles=STAFF,
        writes=True,
    ),
)
