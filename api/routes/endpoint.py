"""How a handler becomes a route: in both forms of its URL, counted, limited, described."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette import routing
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.catalog.reading import catalog_behind
from api.credentials import credential_of, forbidden, missing
from api.crowd import Crowd
from api.exchange import exchange_of, path_text
from api.pending import VerdictPending, prefers_async
from api.principals import Principal, Role
from api.problems import Problem, not_found
from api.routes.call import Call, accepted
from api.services import Services
from api.unchanged import refuse_content

Handler = Callable[[Call], Awaitable[Response]]

PREFIXES: Final = ("/v1", "/v1/accounts/{account}")
_UNKNOWN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND})
"""What is said of who or what an account doesn't know: so never while it may be the wrong one."""


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


class Form(Struct, frozen=True, kw_only=True):
    """A route in one form of its URL."""

    prefix: str
    route: Route

    @property
    def path(self) -> str:
        """Template of the whole path."""
        return self.prefix + self.route.path


def routes(forms: Iterable[Form], services: Services) -> list[routing.Route]:
    """Routes, each in the forms of its URL, in the order in which the router tries them.

    First those of one path each, as checks' and activations': no other route has such a path.
    """
    writes = Crowd(services.writes_max)
    return [
        routing.Route(
            form.path,
            _Endpoint(form.route, services, writes),
            methods=[form.route.method],
        )
        for form in sorted(forms, key=lambda form: "{" in form.path)
    ]


class _Endpoint:
    """A route as an application of its own.

    Not as a function: FastAPI would look for its dependencies at each request, and Starlette for
    who handles its errors, which the application does for all.
    """

    def __init__(self, route: Route, services: Services, writes: Crowd) -> None:
        self._route = route
        self._services = services
        self._writes = writes
        self._template = route.path if route.path.startswith("/v1") else f"/v1{route.path}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive, send)
        exchange_of(request).route = self._template
        account = await _account(request, self._services, self._route)
        try:
            response = await self._answer(request, account)
        except Problem as problem:
            if account is None and problem.status in _UNKNOWN:
                raise catalog_behind() from None
            raise
        await response(scope, receive, send)

    async def _answer(self, request: Request, account: str | None) -> Response:
        route = self._route
        call = await _call(route, request, self._services, account)
        if route.writes and route.body is None:
            refuse_content(await call.content())
        if route.writes:
            return await self._written(call)
        return await route.handler(call)

    async def _written(self, call: Call) -> Response:
        """Have it written and decided; what isn't in time is told later to who prefers that."""
        try:
            with self._writes.entered(self._services.metrics, "writes"):
                return await self._route.handler(call)
        except VerdictPending as pending:
            if pending.command is None or not prefers_async(call.request.scope["headers"]):
                raise
            return accepted(call, pending.command)


async def _call(route: Route, request: Request, services: Services, account: str | None) -> Call:
    """Find out who asks; raises a 4xx `Problem` for who may not.

    `account` None: it can't be told, so what the default one has is answered, and no more.
    """
    surely, account = account is not None, account or services.catalog.account
    try:
        principal = await _principal(request, services, account)
    except Problem as problem:
        if not route.open_to_all:
            raise
        services.grace.without_credential(problem, account)
        services.throttle.refuse_guessing(request.scope)
        principal = None
    if principal is None and not route.open_to_all:
        services.throttle.count_failure(request.scope)
        raise missing()
    call = Call(
        request=request,
        services=services,
        account=account,
        surely=surely,
        principal=principal,
    )
    if principal is not None:
        _admit(route, principal)
    return call


async def _account(request: Request, services: Services, route: Route) -> str | None:
    """Account that the request is about; None where that can't be told at the moment.

    Raises a 404 or 503 `Problem`.
    """
    if "account" not in request.path_params:
        return await services.catalog.account_of_host(exchange_of(request).host)
    named = path_text(request, "account")
    try:
        found = await services.catalog.account_named(named)
    except Problem as problem:
        if not route.open_to_all:
            raise
        found = services.grace.account(problem, named)
    if found is None:
        raise not_found("account")
    return found


async def _principal(request: Request, services: Services, account: str) -> Principal | None:
    """Find out who asks; raises a 429 `Problem` for who asks too often, or guesses."""
    scope, throttle = request.scope, services.throttle
    try:
        authorization = exchange_of(request).header("authorization")
        credential = credential_of(authorization, scope["query_string"])
        if credential is None or credential.kind == "license":
            throttle.refuse_guessing(scope)
        principal = await services.doorkeeper.principal(account, credential)
    except Problem as problem:
        if problem.status == HTTPStatus.UNAUTHORIZED:
            throttle.refuse_guessing(scope)
            throttle.count_failure(scope)
        raise
    if principal is not None:
        throttle.count_principal(principal)
    return principal


def _admit(route: Route, who: Principal) -> None:
    if who.role not in route.roles:
        raise forbidden(
            "ROLE_NOT_ALLOWED",
            f"This needs a credential of the role {' or '.join(sorted(route.roles))}; "
            f"yours has the role {who.role}. Ask with another one.",
        )
