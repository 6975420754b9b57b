"""Products: what is licensed."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.responses import Response

from api.catalog.bodies import ProductBody, product_bodies
from api.catalog.requests import product_changed, product_created
from api.principals import ANYONE, SELLERS, STAFF
from api.requests import check_type
from api.routes.call import Call
from api.routes.catalog import decided, found, listed, one, removed, shown
from api.routes.endpoint import Route
from api.unchanged import Related, check_id, refuse_related
from ledger.domain.catalog.entities import Product
from ledger.domain.catalog.events import ProductDeleted


async def found_product(call: Call) -> Product:
    """Product that the path names; raises a 404 `Problem` where they see no such product."""
    return await found(call, Product, sees=lambda product: call.who.sees_product(product.id))


async def create(call: Call) -> Response:
    """POST products."""
    body = await _body(call)
    check_id(body.data.id)
    outcome = await decided(call, product_created(body.data.attributes))
    return await shown(call, outcome, status=HTTPStatus.CREATED)


async def read(call: Call) -> Response:
    """GET products/{id}."""
    return one(await found_product(call))


async def list_products(call: Call) -> Response:
    """GET products."""
    who = call.who
    return await listed(call, Product, sees=lambda product: who.sees_product(product.id))


async def change(call: Call) -> Response:
    """PATCH products/{id}."""
    product = await found_product(call)
    body = await _body(call)
    check_id(body.data.id, product.id)
    outcome = await decided(call, product_changed(body.data.attributes), entity=product.id)
    return await shown(call, outcome, status=HTTPStatus.OK)


async def delete(call: Call) -> Response:
    """DELETE products/{id}."""
    return await removed(call, ProductDeleted(), found_product)


async def _body(call: Call) -> ProductBody:
    body = await call.body(product_bodies)
    check_type(body.data.type, "products", "/data/type")
    refuse_related(body.data.relationships or Related())
    return body


ROUTES: Final = (
    Route(
        method="POST",
        path="/products",
        handler=create,
        success=201,
        summary="Create a product",
        roles=STAFF,
        body=ProductBody,
        writes=True,
    ),
    Route(
        method="GET",
        path="/products",
        handler=list_products,
        success=200,
        summary="List products, newest first",
        roles=SELLERS,
    ),
    Route(
        method="GET",
        path="/products/{id}",
        handler=read,
        success=200,
        summary="Read a product",
        roles=ANYONE,
    ),
    Route(
        method="PATCH",
        path="/products/{id}",
        handler=change,
        success=200,
        summary="Change a product",
        roles=SELLERS,
        body=ProductBody,
        writes=True,
    ),
    Route(
        method="DELETE",
        path="/products/{id}",
        handler=delete,
        success=204,
        summary="Delete a product that has no policies",
        roles=STAFF,
        writes=True,
    ),
)
