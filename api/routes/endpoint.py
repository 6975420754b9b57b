"""How a handler becomes a route: in both forms of its URL, counted, limited, described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from api.credentials import credential_of, forbidden
from api.exchange import JSON_API, exchange_of, path_text
from api.principals import Principal, Role
from api.problems import not_found, too_many_requests
from api.routes.call import Call
from api.services import Services

Handler = Callable[[Call], Awaitable[Response]]

PREFIXES: Final = ("/v1", "/v1/accounts/{account}")
SCHEMAS: Final = "#/components/schemas/{name}"


class Route(Struct, frozen=True, kw_only=True):
    """A route: `path` below the prefix, what it answers when all is well, and what it is for.

    `roles`: who may ask. `body`: the type of the request's body. `writes`: whether it counts as a
    write. `open_to_all`: whether it is answered without a credential too.
    """

    method: str
    path: str
    handler: Handler
    success: int
    summary: str
    roles: frozenset[Role]
    open_to_all: bool = False
    body: type[Struct] | None = None
    writes: bool = False


class Writes:
    """How many writes are in progress, and the limit for them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._in_progress = 0

    async def bounded(self, handler: Handler, call: Call) -> Response:
        """Run a handler that writes; raises a 429 `Problem` above the limit."""
        if self._in_progress >= self._services.writes_max:
            self._services.metrics.shed.labels("writes").inc()
            raise too_many_requests("writes")
        self._in_progress += 1
        try:
            return await handler(call)
        finally:
            self._in_progress -= 1


def add_routes(
    router: APIRouter,
    routes: tuple[Route, ...],
    services: Services,
    *,
    prefixes: tuple[str, ...] = PREFIXES,
) -> None:
    """Add each route in both forms of its URL."""
    writes = Writes(services)
    for route in routes:
        for prefix in prefixes:
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
    template = route.path if route.path.startswith("/v1") else f"/v1{route.path}"

    async def endpoint(request: Request) -> Response:
        exchange_of(request).route = template
        call = await _call(route, request, services)
        if route.writes:
            return await writes.bounded(route.handler, call)
        return await route.handler(call)

    return endpoint


async def _call(route: Route, request: Request, services: Services) -> Call:
    """Find out whose account it is about and who asks; raises a 4xx `Problem` for who may not."""
    exchange = exchange_of(request)
    account = await _account(request, services)
    credential = credential_of(exchange.header("authorization"), request.scope["query_string"])
    principal = await services.doorkeeper.principal(account, credential)
    call = Call(request=request, services=services, account=account, principal=principal)
    if principal is not None or not route.open_to_all:
        _admit(route, call.who)
    return call


async def _account(request: Request, services: Services) -> str:
    if "account" not in request.path_params:
        return await services.catalog.account_of_host(exchange_of(request).host)
    found = await services.catalog.account_named(path_text(request, "account"))
    if found is None:
        raise not_found("account")
    return found


def _admit(route: Route, who: Principal) -> None:
    if who.role not in route.roles:
        raise forbidden(
            "ROLE_NOT_ALLOWED",
            f"This needs a credential of the role {' or '.join(sorted(route.roles))}; "
            f"yours has the role {who.role}.",
        )


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
