"""One request and its answer, as the gate and the routes see them."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from api.bodies import BODY_BYTES_MAX
from api.problems import Problem, malformed, not_found

JSON_API: Final = "application/vnd.api+json"
SCOPE_KEY: Final = "ledger.exchange"
UNMATCHED: Final = "unmatched"
BODY_S: Final = 10.0
CLIENT_GONE: Final = 499
IDEMPOTENCY_KEY_MAX: Final = 255
VERSIONS: Final = frozenset({"1.7", "1.8"})
VERSION: Final = "1.8"
MEDIA_TYPES: Final = frozenset({JSON_API, "application/json"})
_request_ids: Final = random.Random()  # noqa: S311 - seeded by the system; an id guards nothing
_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
_PRINTABLE: Final = re.compile(r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")
_TRACEPARENT: Final = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_NUL: Final = "\x00"
"""Stands for a slash inside a segment while the path is matched; itself it is refused."""


class Exchange:
    """A request's headers, id and route. `route`: the template that matched, for logs."""

    __slots__ = ("_headers", "method", "request_id", "route", "status")

    def __init__(self, scope: Scope) -> None:
        self._headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.method: str = scope["method"]
        self.route = UNMATCHED
        self.status = 0
        self.request_id = request_id_of(self._headers.get("x-request-id", ""))

    def header(self, name: str) -> str | None:
        """Value of a header, by its lower-case name."""
        return self._headers.get(name)

    @property
    def host(self) -> str:
        """Host name that the request was sent to, lower case and without its port."""
        return host_of(self.header("host") or "")

    @property
    def version(self) -> str:
        """Version of the contract that the answer is in."""
        given = (self.header("keygen-version") or "").removeprefix("v")
        return given if given in VERSIONS else VERSION

    def check_headers(self) -> None:
        """Raise a 400 `Problem` for a version or an environment that there isn't."""
        version = self.header("keygen-version")
        if version is not None and version.removeprefix("v") not in VERSIONS:
            raise malformed(
                "INVALID_API_VERSION",
                f"Keygen-Version is one of {', '.join(sorted(VERSIONS))}, or left out.",
                {"header": "Keygen-Version"},
            )
        if self.header("keygen-environment"):
            raise malformed(
                "ENVIRONMENT_NOT_SUPPORTED",
                "Environments are not supported: leave Keygen-Environment out.",
                {"header": "Keygen-Environment"},
            )

    @property
    def idempotency_key(self) -> str | None:
        """Idempotency-Key of the request; raises a 400 `Problem` for a malformed one."""
        key = self.header("idempotency-key")
        if key is None:
            return None
        if len(key) > IDEMPOTENCY_KEY_MAX or not _PRINTABLE.match(key):
            raise malformed(
                "IDEMPOTENCY_KEY_INVALID",
                f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX} printable ASCII characters.",
                {"header": "Idempotency-Key"},
            )
        return key

    @property
    def traceparent(self) -> str | None:
        """Trace context of the request where it is well formed."""
        given = self.header("traceparent")
        return given if given is not None and _TRACEPARENT.match(given) else None


def request_id_of(given: str) -> str:
    """Id of a request: the given one where it may be logged, else one of our making."""
    return given if _REQUEST_ID.match(given) else f"{_request_ids.getrandbits(128):032x}"


def host_of(given: str) -> str:
    """Host name of a Host header, lower case and without its port."""
    return given.lower().rpartition("]")[2].partition(":")[0]


def exchange_of(request: Request) -> Exchange:
    """Return the exchange that the gate has opened for the request."""
    exchange: Exchange = request.scope[SCOPE_KEY]
    return exchange


def matchable_path(raw_path: bytes) -> str:
    """Path with each segment decoded by itself, so that an escaped slash divides nothing.

    Raises a 404 `Problem` for a path with a NUL.
    """
    if b"%" not in raw_path:
        return raw_path.decode("latin-1")
    segments = [unquote(segment) for segment in raw_path.decode("latin-1").split("/")]
    if any(_NUL in segment for segment in segments):
        raise not_found("route")
    return "/".join(segment.replace("/", _NUL) for segment in segments)


def path_text(request: Request, name: str) -> str:
    """Decoded segment of the path."""
    text: str = request.path_params[name]
    return text.replace(_NUL, "/")


async def read_content(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read the body of a request, in bounded size and time; raises a 4xx `Problem`."""
    exchange = exchange_of(request)
    declared = exchange.header("content-length") or ""
    if declared.isdigit() and (len(declared) > len(str(bytes_max)) or int(declared) > bytes_max):
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(BODY_S):
            body = await _received(request.receive, bytes_max)
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
            "The body did not arrive in time: send it again.",
        ) from None
    if body:
        _check_media_type(exchange)
    return body


async def _received(receive: Receive, bytes_max: int) -> bytes:
    """All of a body, in one part nearly always; raises a 413 or 499 `Problem`."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(
                CLIENT_GONE,
                "CLIENT_GONE",
                "The client went away before its request was read: send it again.",
            )
        body += message.get("body", b"")
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
    return body


def _too_large(bytes_max: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "BODY_TOO_LARGE",
        f"This body has at most {bytes_max} bytes: send less at once.",
    )


def _check_media_type(exchange: Exchange) -> None:
    given = exchange.header("content-type")
    if given is not None and given.partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise malformed(
            "MIME_TYPE_INVALID",
            f"A body is {JSON_API} or application/json: send one of these.",
            {"header": "Content-Type"},
        )


def answer(status: int, content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """JSON:API answer."""
    return Response(content, status_code=status, media_type=JSON_API, headers=headers)


def problem_answer(problem: Problem, request_id: str) -> Response:
    """Answer of a problem."""
    return answer(problem.status, problem.document(request_id), problem.headers)
