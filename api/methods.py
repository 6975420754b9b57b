"""Which methods there are at a path: for OPTIONS, for browsers, and for a 405."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.responses import Response
from starlette.routing import compile_path

from api.problems import Problem, not_found

_ASKED: Final = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Keygen-Environment",
    "Keygen-Version",
    "Ledger-At-Least",
    "Prefer",
    "Traceparent",
    "X-Request-Id",
)
_TOLD: Final = (
    "Keygen-Version",
    "Ledger-Age-Ms",
    "Ledger-Position",
    "Ledger-Source",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
    "X-RateLimit-Count",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-RateLimit-Window",
    "X-Request-Id",
)
_MAX_AGE_S: Final = 86_400
CROSS_ORIGIN: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", ", ".join(_TOLD).encode()),
)
"""Of every answer to a page of another origin. Any page may ask, since none can make a browser
send a credential: no cookie is one, so a page has only what it was given itself."""


class Place(Struct, frozen=True, kw_only=True):
    """A path's template, and the methods there in the order of their names."""

    template: str
    allowed: tuple[str, ...]


class Methods:
    """Methods by path, of pairs of a method and a path's template."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        by_template: dict[str, set[str]] = {}
        for method, template in routes:
            also = {"HEAD"} if method == "GET" else set()
            by_template.setdefault(template, {"OPTIONS"}).update({method}, also)
        self._places: list[tuple[re.Pattern[str], Place]] = [
            (compile_path(template)[0], Place(template=template, allowed=tuple(sorted(methods))))
            for template, methods in by_template.items()
        ]

    def at(self, path: str) -> Place | None:
        """Place of a path; None where there is no such route."""
        found = [place for pattern, place in self._places if pattern.match(path)]
        if len(found) < 2:  # noqa: PLR2004 - one template, nearly always
            return found[0] if found else None
        allowed = {method for place in found for method in place.allowed}
        return Place(template=found[0].template, allowed=tuple(sorted(allowed)))


def options(place: Place | None) -> Response:
    """Answer to OPTIONS, a browser's question before it asks included. Raises a 404 `Problem`."""
    if place is None:
        raise not_found("route")
    methods = ", ".join(place.allowed)
    headers = {
        "Allow": methods,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": ", ".join(_ASKED),
        "Access-Control-Max-Age": str(_MAX_AGE_S),
    }
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)


def other_method(place: Place | None) -> Problem:
    """405: the route is there, with other methods."""
    methods = ", ".join(place.allowed) if place else ""
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        f"This route has no such method. Send one of {methods}.",
        headers={"Allow": methods},
    )
