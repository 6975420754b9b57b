"""How a handler becomes a route: in both forms of its URL, counted, limited, described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from api.commands import Asked
from api.exchange import JSON_API, exchange_of, path_text
from api.problems import not_found, too_many_requests
from api.services import Services

Handler = Callable[[Request, Services], Awaitable[Response]]

PREFIXES: Final = ("/v1", "/v1/accounts/{account}")
SCHEMAS: Final = "#/components/schemas/{name}"


class Route(Struct, frozen=True, kw_only=True):
    """A route: `path` below the prefix, what it answers when all is well, and what it is for.

    `body`: the type of the request's body. `writes`: whether it counts as a write.
    """

    method: str
    path: str
    handler: Handler
    success: int
    summary: str
    body: type[Struct] | None = None
    writes: bool = False


class Writes:
    """How many writes are in progress, and the limit for them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._in_progress = 0

    async def bounded(self, handler: Handler, request: Request) -> Response:
        """Run a handler that writes; raises a 429 `Problem` above the limit."""
        if self._in_progress >= self._services.writes_max:
            self._services.metrics.shed.labels("writes").inc()
            raise too_many_requests("writes")
        self._in_progress += 1
        try:
            return await handler(request, self._services)
        finally:
            self._in_progress -= 1


def add_routes(router: APIRouter, routes: tuple[Route, ...], services: Services) -> None:
    """Add each route in both forms of its URL."""
    writes = Writes(services)
    for route in routes:
        for prefix in PREFIXES:
            router.add_api_route(
                prefix + route.path,
                _endpoint(route, services, writes),
                methods=[route.method],
                status_code=route.success,
                response_class=Response,
                summary=route.summary,
                openapi_extra=_described(route),
            )


def _endpoint(
    route: Route, services: Services, writes: Writes
) -> Callable[[Request], Awaitable[Response]]:
    template = f"/v1{route.path}"

    async def endpoint(request: Request) -> Response:
        exchange_of(request).route = template
        if "account" in request.path_params and not services.catalog.is_account(
            path_text(request, "account")
        ):
            raise not_found("account")
        if route.writes:
            return await writes.bounded(route.handler, request)
        return await route.handler(request, services)

    return endpoint


def _described(route: Route) -> dict[str, Any]:
    """Request body and answers for the OpenAPI document."""
    error = {"schema": {"$ref": SCHEMAS.format(name="Errors")}}
    described: dict[str, Any] = {
        "responses": {
            str(route.success): {"description": "Done"},
            "default": {"description": "An error", "content": {JSON_API: error}},
        }
    }
    if route.body is not None:
        reference = {"$ref": SCHEMAS.format(name=route.body.__name__)}
        described["requestBody"] = {"content": {JSON_API: {"schema": reference}}}
    return described


def schemas(routes: tuple[Route, ...]) -> Mapping[str, Any]:
    """JSON schemas of the bodies, by name."""
    bodies = [route.body for route in routes if route.body is not None]
    _, components = msgspec.json.schema_components(bodies, ref_template=SCHEMAS)
    return components


def actor(request: Request, services: Services) -> str:
    """Who asks; raises a 401 `Problem` for somebody who is not known."""
    authorization = exchange_of(request).header("authorization")
    return services.doorkeeper.required(services.doorkeeper.actor(authorization))


def asked(request: Request, services: Services) -> Asked:
    """Who asks for a write, and how. Raises a 4xx `Problem`."""
    exchange = exchange_of(request)
    return Asked(
        actor=actor(request, services),
        idempotency_key=exchange.idempotency_key,
        traceparent=exchange.traceparent,
    )
