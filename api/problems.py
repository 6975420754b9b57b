"""Errors as the contract has them: JSON:API documents that say what is wrong and what to do.

Existing clients decide on the first error's status and code. No text here quotes a key, a
fingerprint, a token or anything else that a caller sent, but names of members and a filter's word.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

_encoder: Final = msgspec.json.Encoder()

BAD_REQUEST: Final = HTTPStatus.BAD_REQUEST
UNPROCESSABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY
UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE
RETRY_AFTER_S: Final = 1
SHED_RETRY_AFTER_MAX_S: Final = 4

TITLES: Final[dict[int, str]] = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Access denied",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Content too large",
    422: "Unprocessable resource",
    429: "Too many requests",
    431: "Request header fields too large",
    499: "Client gone",
    500: "Internal server error",
    503: "Service unavailable",
}


class Error(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One error of a document; `source`: the pointer, parameter or header that it is about."""

    title: str
    detail: str
    code: str
    source: dict[str, str] | None = None
    links: dict[str, str] | None = None


class Problem(Exception):
    """A request that is answered with an error: its status, the error, headers and meta."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        source: dict[str, str] | None = None,
        links: dict[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        meta: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = int(status)
        self.error = Error(
            title=TITLES.get(self.status, "Error"),
            detail=detail,
            code=code,
            source=source,
            links=links,
        )
        self.headers = dict(headers or {})
        self.meta = dict(meta or {})

    @property
    def code(self) -> str:
        """Code of the error."""
        return self.error.code

    def at(self, position: str) -> Problem:
        """Return the same problem with the position at which it was decided."""
        self.headers["Ledger-Position"] = position
        self.meta["position"] = position
        return self

    def document(self, request_id: str) -> bytes:
        """Body of the answer."""
        return _encoder.encode({"meta": {"id": request_id, **self.meta}, "errors": [self.error]})


def pointer(path: str) -> dict[str, str]:
    """Source of an error in the body."""
    return {"pointer": path}


def malformed(code: str, detail: str, source: dict[str, str] | None = None) -> Problem:
    """400: the request is not of the form that it must have."""
    return Problem(BAD_REQUEST, code, detail, source=source)


def unprocessable(code: str, detail: str, path: str) -> Problem:
    """422: the request is well formed, but this can't be done."""
    return Problem(UNPROCESSABLE, code, detail, source=pointer(path))


def not_found(what: str, source: dict[str, str] | None = None) -> Problem:
    """404: `what` ("license", "machine", "account", "route") is not there."""
    detail = f"There is no such {what}, or not for who asks: check what you have named."
    return Problem(HTTPStatus.NOT_FOUND, "NOT_FOUND", detail, source=source)


def unavailable(
    detail: str,
    *,
    code: str = "UNAVAILABLE",
    retry_after_s: int = RETRY_AFTER_S,
    meta: Mapping[str, object] | None = None,
) -> Problem:
    """503: the ledger can't answer now; it is never a "no", and repeating is safe."""
    headers = {"Retry-After": str(retry_after_s)}
    return Problem(UNAVAILABLE, code, detail, headers=headers, meta=meta)


def replica_behind() -> Problem:
    """503: what can be read is behind, and the answer would rest on what it may lack."""
    return unavailable(
        "The replica that answers is behind, so it can't say what is not there. "
        "Repeat after a second.",
        code="REPLICA_BEHIND",
    )


def too_many_requests(what: str) -> Problem:
    """429: as many requests are in progress as this worker takes.

    Who is refused together shall not come back together.
    """
    detail = (
        f"This worker has as many {what} in progress as it takes. Repeat after the seconds that "
        "Retry-After names."
    )
    headers = {"Retry-After": str(random.randint(1, SHED_RETRY_AFTER_MAX_S))}  # noqa: S311
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", detail, headers=headers)


def over_limit(detail: str, headers: Mapping[str, str]) -> Problem:
    """429: more than what may be asked in a minute; `headers` tell the limit and when it ends."""
    return Problem(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", detail, headers=headers)


def unauthorized(code: str, detail: str) -> Problem:
    """401: who asks is not known."""
    headers = {"WWW-Authenticate": 'Bearer realm="license ledger"'}
    source = {"header": "Authorization"}
    return Problem(HTTPStatus.UNAUTHORIZED, code, detail, source=source, headers=headers)


def broken() -> Problem:
    """500: our own mistake; the log has the request's id."""
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "The request failed inside the ledger. Whether it was applied is not known: repeat it "
        "with its Idempotency-Key, and report the id in meta if it fails again.",
    )
