"""The composition root: settings, a log and replicas in, an ASGI application out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.catalog.commands import CatalogCommands
from api.catalog.reading import Catalog
from api.checking import Checker
from api.checking_many import ManyChecker
from api.clock import Clock
from api.commands import Commands
from api.data_keys import DataKeys, StoredKeys
from api.doorkeeper import Doorkeeper
from api.emergency.grace import Grace
from api.emergency.orders import EmergencyOrders
from api.exchange import exchange_of, problem_answer
from api.fan_out import FanOut
from api.finding import Finder
from api.gate import Gate
from api.lists import Lists
from api.logs import AccessLog
from api.methods import Methods, other_method
from api.metrics import Metrics
from api.noticing import Noticing
from api.openapi.document import DESCRIPTION, description_router
from api.problems import Problem, broken, not_found
from api.repeating import Repeating
from api.replicas import Replicas
from api.routes import (
    accounts,
    attachments,
    commands,
    entitlements,
    licenses,
    lists,
    machines,
    orders,
    policies,
    products,
    tokens,
)
from api.routes.emergency import ORDERS, STANDING, emergency_router
from api.routes.endpoint import PREFIXES, Form, routes
from api.routes.health import HEALTH, health_router
from api.services import Services
from api.settings import ApiSettings
from api.throttle import Throttle
from api.verdicts import Verdicts
from ledger.event_log.port import EventLog
from ledger.sealing.key_ring import KeyRing
from ledger.sealing.sealer import Sealer

ROUTES: Final = (
    *licenses.ROUTES,
    *machines.ROUTES,
    *orders.ROUTES,
    *commands.ROUTES,
    *lists.ROUTES,
    *products.ROUTES,
    *policies.ROUTES,
    *entitlements.ROUTES,
    *attachments.ROUTES,
    *tokens.ROUTES,
    *accounts.ROUTES,
)
FORMS: Final = (
    *(Form(prefix=prefix, route=route) for route in ROUTES for prefix in PREFIXES),
    *(Form(prefix="", route=route) for route in accounts.ACCOUNT_ROUTES),
)
"""All routes, in each form of their URLs."""


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
    commands = Commands(
        catalog=catalog,
        pepper=pepper,
        clock=clock,
        finder=finder,
        data_keys=data_keys,
        verdicts=verdicts,
    )
    checker = Checker(
        ledger=catalog.ledger, pepper=pepper, clock=clock, replicas=replicas, metrics=metrics
    )
    emergency = EmergencyOrders(
        ledger=catalog.ledger,
        keys=settings.emergency_keys,
        folder=settings.emergency_orders,
        clock=clock,
        metrics=metrics,
        log=log,
        writes_closed=writes_closed,
    )
    return Services(
        pepper=pepper,
        catalog=catalog,
        doorkeeper=Doorkeeper(
            settings.token_digests, pepper=pepper, catalog=catalog, finder=finder, clock=clock
        ),
        clock=clock,
        replicas=replicas,
        finder=finder,
        checker=checker,
        many_checker=ManyChecker(
            ledger=catalog.ledger, pepper=pepper, clock=clock, replicas=replicas, metrics=metrics
        ),
        emergency=emergency,
        grace=Grace(orders=emergency, checker=checker, clock=clock, metrics=metrics),
        lists=Lists(replicas),
        data_keys=data_keys,
        commands=commands,
        repeating=Repeating(pepper=pepper, finder=finder, commands=commands, verdicts=verdicts),
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
        throttle=Throttle(settings, metrics),
        writes_max=settings.writes_max,
        writes_closed=writes_closed,
    )


def build_app(services: Services, settings: ApiSettings, access_log: AccessLog) -> Gate:
    """Application of these parts, behind the gate."""
    app = FastAPI(
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        routes=list(routes(FORMS, services)),
    )
    app.include_router(health_router(services))
    app.include_router(emergency_router(services))
    app.include_router(description_router(FORMS))
    places = [(form.route.method, form.path) for form in FORMS]
    gets = (*HEALTH, STANDING, DESCRIPTION)
    methods = Methods([*places, *(("GET", path) for path in gets), ("POST", ORDERS)])
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _unrouted(methods))
    app.add_exception_handler(Exception, _on_exception)
    return Gate(
        app,
        methods=methods,
        metrics=services.metrics,
        throttle=services.throttle,
        access_log=access_log,
        requests_max=settings.requests_max,
    )


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101 - it is registered for nothing else
    return problem_answer(problem, exchange_of(request).request_id)


def _unrouted(methods: Methods) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer what no route took: existing clients fail on an error that is no JSON."""

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            problem = other_method(methods.at(request.scope["path"]))
        else:
            problem = not_found("route")
        return problem_answer(problem, exchange_of(request).request_id)

    return unrouted


async def _on_exception(request: Request, _: Exception) -> Response:
    """Answer our own mistake; it is raised on to the gate, which logs it."""
    return problem_answer(broken(), exchange_of(request).request_id)
