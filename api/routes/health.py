"""Ping, health and metrics: whether it lives, whether it can answer checks, what is degraded."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from api.exchange import exchange_of, path_text
from api.problems import not_found
from api.services import Services
from api.standing import Standing
from projector.read_model.keys import CATALOG

HEALTH: Final = (
    *("/health/live", "/health/ready", "/metrics"),
    *("/v1/ping", "/v1/accounts/{account}/ping"),
)
JSON: Final = "application/json"
READY: Final = "ready"
COPY_LATE_MS: Final = 10_000
"""A local copy that was not level for so long is told of."""
_encoder: Final = msgspec.json.Encoder()


def health_router(services: Services) -> APIRouter:
    """Routes of ping, health and metrics."""
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def live(request: Request) -> Response:
        exchange_of(request).route = "/health/live"
        return Response(b'{"status":"live"}', media_type=JSON)

    @router.get("/health/ready")
    async def ready(request: Request) -> Response:
        exchange_of(request).route = "/health/ready"
        told = readiness(services)
        is_ready = told["status"] == READY
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(_encoder.encode(told), status_code=status, media_type=JSON)

    @router.get("/v1/ping")
    @router.get("/v1/accounts/{account}/ping")
    async def ping(request: Request) -> Response:
        exchange_of(request).route = "/v1/ping"
        if "account" in request.path_params:
            named = path_text(request, "account")
            if await services.catalog.account_named(named) is None:
                raise not_found("account")
        return Response(b"pong", media_type="text/plain")

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        exchange_of(request).route = "/metrics"
        _measure(services)
        return Response(services.metrics.page(), media_type=CONTENT_TYPE_LATEST)

    return router


def readiness(services: Services) -> dict[str, Any]:
    """Tell whether checks and writes are answered, and what is not as it should be."""
    replicas = services.replicas
    partitions = range(replicas.partitions)
    checks = all(replicas.can_check(partition) for partition in partitions)
    known = replicas.can_check(CATALOG)
    copy = replicas.local_copy
    degraded = [text for each in replicas.standings if (text := _degraded(each)) is not None]
    if copy is not None and (copy.oldest_ms is None or copy.oldest_ms > COPY_LATE_MS):
        degraded.append("local copy: not level, or not there yet")
    closed = services.writes_closed()
    now = services.clock.now
    if closed is None and not now.may_write:
        closed = "the clocks can't be trusted"
    if closed is None and not any(_serves_all(each) for each in replicas.standings):
        closed = "no replica is level"
    if closed is not None:
        degraded.append(f"writes: {closed}")
    if not known:
        degraded.append("catalog: no replica has it yet")
    degraded += [
        f"emergency order {one.order.id}: checks that can't be answered are approved"
        for one in services.emergency.running()
    ]
    if now.alarming:
        degraded.append(f"clocks: {now.apart_ms} ms apart")
    return {
        "status": READY if checks and known else "not ready",
        "checks": checks,
        "writes": closed is None,
        "ledger": services.catalog.ledger,
        "account": services.catalog.account,
        "product": services.catalog.product,
        "policy": services.catalog.policy,
        "replicas": [_shown(each) for each in replicas.standings],
        "localCopy": None if copy is None else _shown(copy),
        "degraded": degraded,
    }


def _shown(standing: Standing) -> dict[str, Any]:
    return {
        "name": standing.name,
        "reachable": standing.reachable,
        "inService": standing.serving,
        "partitions": standing.partitions,
        "ageMs": standing.oldest_ms,
    }


def _degraded(standing: Standing) -> str | None:
    if not standing.reachable:
        return f"replica {standing.name}: does not answer"
    if not _serves_all(standing):
        return f"replica {standing.name}: not level in every partition"
    if not standing.in_service(CATALOG):
        return f"replica {standing.name}: not level in the catalog"
    return None


def _serves_all(standing: Standing) -> bool:
    return standing.serving == standing.partitions


def _measure(services: Services) -> None:
    """Set the gauges: they are looked at only here."""
    metrics, replicas = services.metrics, services.replicas
    metrics.waiting.set(replicas.passing.waiting)
    metrics.emergency_orders.set(len(services.emergency.running()))
    metrics.clocks_apart.set(services.clock.now.apart_ms / 1000)
    copy = replicas.local_copy
    for standing in (*replicas.standings, *([] if copy is None else [copy])):
        metrics.reachable.labels(standing.name).set(standing.reachable)
        metrics.in_service.labels(standing.name).set(standing.serving)
        metrics.age.labels(standing.name).set((standing.oldest_ms or 0) / 1000)
