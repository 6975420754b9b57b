"""Policies: templates of terms. A change reaches the licenses below it by a fan-out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.catalog.bodies import PolicyBody, policy_bodies
from api.catalog.requests import policy_changed, policy_created
from api.catalog.resources import progress_resource
from api.exchange import answer
from api.principals import ANYONE, SELLERS, Principal
from api.problems import unprocessable
from api.requests import check_type, refuse_unsupported
from api.resources import document
from api.routes.call import Call
from api.routes.catalog import decided, found, listed, one, removed, shown
from api.routes.endpoint import Route
from api.unchanged import check_id, fixed
from ledger.domain.catalog.entities import Policy, Product
from ledger.domain.catalog.events import PolicyDeleted
from ledger.domain.identifiers import is_id

_PRODUCT: Final = "/data/relationships/product"


async def found_policy(call: Call) -> Policy:
    """Policy that the path names; raises a 404 `Problem` where they see no such policy."""
    return await found(call, Policy, sees=lambda policy: _sees(call.who, policy))


def _sees(who: Principal, policy: Policy) -> bool:
    return who.sees_policy(policy.id, policy.product)


async def create(call: Call) -> Response:
    """POST policies."""
    body = await _body(call)
    check_id(body.data.id)
    product = await _product(call, body)
    outcome = await decided(call, policy_created(body.data.attributes, product=product))
    return await shown(call, outcome, status=HTTPStatus.CREATED)


async def read(call: Call) -> Response:
    """GET policies/{id}."""
    return one(await found_policy(call))


async def list_policies(call: Call) -> Response:
    """GET policies."""
    who = call.who
    return await listed(
        call,
        Policy,
        sees=lambda policy: _sees(who, policy),
        filters={"product": lambda policy, product: policy.product == product.lower()},
    )


async def progress(call: Call) -> Response:
    """GET policies/{id}/progress: how many licenses have the policy's terms of now."""
    policy = await found_policy(call)
    counted = await call.services.fan_out.progress(policy)
    resource = progress_resource(policy, licenses=counted.licenses, behind=counted.behind)
    return answer(HTTPStatus.OK, document(resource))


async def change(call: Call) -> Response:
    """PATCH policies/{id}."""
    policy = await found_policy(call)
    body = await _body(call)
    check_id(body.data.id, policy.id)
    linked = body.data.relationships.product
    if linked is not None and linked.data.id.lower() != policy.product:
        raise fixed("product", "leave it out, or make a policy of the other product.")
    outcome = await decided(call, policy_changed(body.data.attributes), entity=policy.id)
    return await shown(call, outcome, status=HTTPStatus.OK)


async def delete(call: Call) -> Response:
    """DELETE policies/{id}: one that no license has."""
    return await removed(call, PolicyDeleted(), _unused)


async def _unused(call: Call) -> Policy:
    policy = await found_policy(call)
    if await call.services.finder.has_licenses(policy.id):
        raise unprocessable(
            "IN_USE", "The policy has licenses: transfer or revoke these first.", "/data"
        )
    return policy


async def _body(call: Call) -> PolicyBody:
    body = await call.body(policy_bodies)
    check_type(body.data.type, "policies", "/data/type")
    refuse_unsupported(body.data.relationships, "/data/relationships", "environment")
    return body


async def _product(call: Call, body: PolicyBody) -> str:
    linked = body.data.relationships.product
    if linked is None:
        raise unprocessable(
            "VALUE_BLANK", "A policy needs its product: send the product's id.", _PRODUCT
        )
    check_type(linked.data.type, "products", f"{_PRODUCT}/data/type")
    id_ = linked.data.id.lower()
    entity = None
    if is_id(id_):
        entity = await call.services.catalog.entity(Product, id_, account=call.account)
    if entity is None or not call.who.sees_product(entity.id):
        raise unprocessable(
            "PRODUCT_NOT_FOUND", "There is no such product for this account: send its id.", _PRODUCT
        )
    return entity.id


ROUTES: Final = (
    Route(
        method="POST",
        path="/policies",
        handler=create,
        success=201,
        summary="Create a policy of a product",
        roles=SELLERS,
        body=PolicyBody,
        writes=True,
    ),
    Route(
        method="GET",
        path="/policies",
        handler=list_policies,
        success=200,
        summary="List policies, newest first",
        roles=SELLERS,
    ),
    Route(
        method="GET",
        path="/policies/{id}",
        handler=read,
        success=200,
        summary="Read a policy",
        roles=ANYONE,
    ),
    Route(
        method="GET",
        path="/policies/{id}/progress",
        handler=progress,
        success=200,
        summary="Show how many of a policy's licenses don't have its present terms yet",
        roles=SELLERS,
    ),
    Route(
        method="PATCH",
        path="/policies/{id}",
        handler=change,
        success=200,
        summary="Change a policy, and so the licenses that have it",
        roles=SELLERS,
        body=PolicyBody,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/policies/{id}",
        handler=delete,
        success=204,
        summary="Delete a policy that no license has",
        roles=SELLERS,
        writes=True,
    ),
)
