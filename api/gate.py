"""The gate that every request passes: limits, headers, figures, the log line."""

from __future__ import annotations

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.crowd import Crowd
from api.exchange import SCOPE_KEY, Exchange, matchable_path, problem_answer
from api.logs import AccessLog, alarm, told
from api.methods import CROSS_ORIGIN, Methods, options
from api.metrics import Metrics
from api.pressure import Pressure
from api.problems import Problem, broken, too_many_requests
from api.throttle import Throttle

HEADER_BYTES_MAX: Final = 16 * 1024
_UNSEEN: Final = ("/health/", "/metrics")
"""Answered however many requests are in progress, and not logged: they are asked all day."""
_CHECKS: Final = ("/actions/validate-key", "/actions/validate", "/actions/validate-many")
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
WRITES_SHARE: Final = 0.5
READS_SHARE: Final = 0.25
"""Of the requests that may be in progress: what writes, and what lists and other reads, leave free
is for checks."""
WRITES_LATE_S: Final = 0.2
READS_LATE_S: Final = 0.1
"""How far behind its work a worker may be and still take a write, or a list."""
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_log: Final = logging.getLogger(__name__)


class Gate:
    """Wraps the application. At most `requests_max` requests are in progress at once."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        methods: Methods,
        metrics: Metrics,
        throttle: Throttle,
        access_log: AccessLog,
        requests_max: int,
    ) -> None:
        self._app = app
        self._methods = methods
        self._metrics = metrics
        self._throttle = throttle
        self._access_log = access_log
        self.crowd: Final = Crowd(requests_max)
        self.pressure: Final = Pressure()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope)
        scope[SCOPE_KEY] = exchange
        started = time.monotonic()
        try:
            with self.crowd:
                await self._answer(exchange, scope, receive, _Sender(exchange, send))
        finally:
            self._tell(exchange, scope["path"], time.monotonic() - started)

    async def _answer(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: _Sender
    ) -> None:
        try:
            self._admit(exchange, scope)
            await self._routed(exchange, scope, receive, send)
        except Problem as problem:
            await problem_answer(problem, exchange.request_id)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            name = type(error).__name__
            self._metrics.errors.labels(name).inc()
            fields = told(error) | {"route": exchange.route, "request_id": exchange.request_id}
            alarm(_log, "request-failed", "a request failed", **fields)
            if not exchange.status:
                await problem_answer(broken(), exchange.request_id)(scope, receive, send)

    async def _routed(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: _Sender
    ) -> None:
        """Answer OPTIONS from what there is, HEAD as GET without its body, and the rest."""
        if exchange.method == "OPTIONS":
            place = self._methods.at(scope["path"])
            if place is not None:
                exchange.route = place.template.replace("/accounts/{account}/", "/", 1)
            await options(place)(scope, receive, send)
        elif exchange.method == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, send)
        else:
            await self._app(scope, receive, send)

    def _admit(self, exchange: Exchange, scope: Scope) -> None:
        """Raise a `Problem` for what is refused before anybody looks at it."""
        size = len(scope["raw_path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            size += len(name) + len(value)
        if size > HEADER_BYTES_MAX:
            detail = f"Path and headers have at most {HEADER_BYTES_MAX} bytes together."
            raise Problem(431, "HEADERS_TOO_LARGE", detail)
        if not scope["path"].startswith(_UNSEEN):
            self._shed(exchange, scope)
            self._throttle.count_address(scope)
        scope["path"] = matchable_path(scope["raw_path"])
        exchange.check_headers()

    def _shed(self, exchange: Exchange, scope: Scope) -> None:
        """Refuse what there is no room for: lists first, then writes, checks last."""
        if self.crowd.is_over():
            what = "requests"
        elif scope["path"].endswith(_CHECKS):
            return
        elif exchange.method in _READS:
            what = "reads"
            if not self.crowd.is_over(READS_SHARE) and self.pressure.late_s < READS_LATE_S:
                return
        else:
            what = "writes"
            if not self.crowd.is_over(WRITES_SHARE) and self.pressure.late_s < WRITES_LATE_S:
                return
        self._metrics.shed.labels(what).inc()
        raise too_many_requests(what)

    def _tell(self, exchange: Exchange, path: str, seconds: float) -> None:
        if path.startswith(_UNSEEN):
            return
        route, method = exchange.route, _method(exchange.method)
        self._metrics.answered(route, method, exchange.status, seconds)
        self._access_log.line(
            route=route,
            method=method,
            status=exchange.status,
            seconds=seconds,
            request_id=exchange.request_id,
        )


def _method(method: str) -> str:
    """Method for logs and labels: what is none is no label either."""
    return method if method in _METHODS else "OTHER"


class _Sender:
    """Sends an answer, with the headers that every answer has."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._exchange.status = message["status"]
            headers = message["headers"]
            headers.append((b"x-request-id", self._exchange.request_id.encode()))
            headers.append((b"keygen-version", self._exchange.version.encode()))
            if self._exchange.header("origin") is not None:
                headers.extend(CROSS_ORIGIN)
        elif self._exchange.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)
