"""The composition root: settings, a log and replicas in, an ASGI application out."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from api.catalog.commands import CatalogCommands
from api.catalog.reading import Catalog
from api.checking import Checker
from api.clock import Clock
from api.commands import Commands
from api.data_keys import DataKeys, StoredKeys
from api.doorkeeper import Doorkeeper
from api.exchange import exchange_of, problem_answer
from api.fan_out import FanOut
from api.finding import Finder
from api.gate import Gate
from api.lists import Lists
from api.logs import AccessLog
from api.metrics import Metrics
from api.noticing import Noticing
from api.problems import Problem, broken, not_found
from api.replicas import Replicas
from api.routes import (
    accounts,
    attachments,
    entitlements,
    licenses,
    lists,
    machines,
    orders,
    policies,
    products,
    tokens,
)
from api.routes.endpoint import add_routes, schemas
from api.routes.health import health_router
from api.services import Services
from api.settings import ApiSettings
from api.verdicts import Verdicts
from ledger.event_log.port import EventLog
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.sealer import Sealer

ROUTES: Final = (
    *licenses.ROUTES,
    *machines.ROUTES,
    *orders.ROUTES,
    *lists.ROUTES,
    *products.ROUTES,
    *policies.ROUTES,
    *entitlements.ROUTES,
    *attachments.ROUTES,
    *tokens.ROUTES,
    *accounts.ROUTES,
)


def build_services(
    settings: ApiSettings,
    *,
    catalog: Catalog,
    log: EventLog,
    replicas: Replicas,
    writes_closed: Callable[[], str | None] = lambda: None,
) -> Services:
    """Put the parts of a worker together."""
    shared, metrics = settings.ledger, Metrics()
    pepper, clock = shared.pepper, Clock(replicas.clocks_ms)
    stored = StoredKeys(replicas)
    sealer = Sealer(
        ring=KeyRing(shared.seal_keys), log=log, partitions=shared.partitions, stored=stored
    )
    verdicts = Verdicts(log, replicas, metrics)
    finder = Finder(pepper=pepper, replicas=replicas)
    data_keys = DataKeys(sealer=sealer, stored=stored, verdicts=verdicts)
    return Services(
        pepper=pepper,
        catalog=catalog,
        doorkeeper=Doorkeeper(
            settings.token_digests, pepper=pepper, catalog=catalog, finder=finder, clock=clock
        ),
        clock=clock,
        replicas=replicas,
        finder=finder,
        checker=Checker(
            ledger=catalog.ledger, pepper=pepper, clock=clock, replicas=replicas, metrics=metrics
        ),
        lists=Lists(replicas),
        data_keys=data_keys,
        commands=Commands(
            catalog=catalog,
            pepper=pepper,
            clock=clock,
            finder=finder,
            data_keys=data_keys,
            verdicts=verdicts,
        ),
        catalog_commands=CatalogCommands(
            catalog=catalog, pepper=pepper, clock=clock, verdicts=verdicts
        ),
        noticing=Noticing(
            catalog=catalog, verdicts=verdicts, pepper=pepper, clock=clock, metrics=metrics
        ),
        fan_out=FanOut(
            catalog=catalog, replicas=replicas, verdicts=verdicts, pepper=pepper, clock=clock
        ),
        metrics=metrics,
        writes_max=settings.writes_max,
        writes_closed=writes_closed,
    )


def build_app(services: Services, settings: ApiSettings, access_log: AccessLog) -> ASGIApp:
    """Application of these parts, behind the gate."""
    app = FastAPI(
        title="The license ledger",
        version="1.8",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    router = APIRouter()
    add_routes(router, ROUTES, services)
    add_routes(router, accounts.ACCOUNT_ROUTES, services, prefixes=("",))
    app.include_router(router)
    app.include_router(health_router(services))
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_exception)
    _describe(app)
    return Gate(
        app,
        metrics=services.metrics,
        access_log=access_log,
        requests_max=settings.requests_max,
    )


def _describe(app: FastAPI) -> None:
    """Add the bodies' schemas to the OpenAPI document: they are msgspec's, which FastAPI skips."""
    document: dict[str, Any] = app.openapi()
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas(ROUTES + accounts.ACCOUNT_ROUTES))
    components["Errors"] = {
        "type": "object",
        "required": ["errors"],
        "properties": {
            "meta": {"type": "object"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["title", "detail", "code"],
                    "properties": {
                        "title": {"type": "string"},
                        "detail": {"type": "string"},
                        "code": {"type": "string"},
                        "source": {"type": "object"},
                        "links": {"type": "object"},
                    },
                },
            },
        },
    }


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - it is registered for nothing else
    return problem_answer(problem, exchange_of(request).request_id)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what no route took: existing clients fail on an error that is no JSON."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        problem = Problem(
            error.status_code,
            "METHOD_NOT_ALLOWED",
            "This route has other methods.",
            headers=error.headers,
        )
    else:
        problem = not_found("route")
    return problem_answer(problem, exchange_of(request).request_id)


async def _on_exception(request: Request, _: Exception) -> Response:
    """Answer our own mistake; it is raised on to the gate, which logs it."""
    return problem_answer(broken(), exchange_of(request).request_id)
