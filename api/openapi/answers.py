"""What each route answers: which document when all is well, and which errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from api.exchange import JSON_API
from api.openapi.parameters import is_list, may_be_pending
from api.openapi.resources import NAMES, ref
from api.problems import TITLES
from api.routes.endpoint import Route

_SPECIAL: Final = {
    ("GET", "/me"): "Me",
    ("POST", "/licenses/actions/validate-key"): "CheckDocument",
    ("POST", "/licenses/actions/validate-many"): "ManyChecksDocument",
    ("POST", "/licenses/{id}/actions/validate"): "CheckDocument",
    ("GET", "/licenses/{id}/actions/validate"): "QuickCheckDocument",
    ("GET", "/licenses/{id}/commands/{command}"): "CommandDocument",
    ("POST", "/licenses/{id}/entitlements"): "LicenseEntitlements",
    ("GET", "/policies/{id}/progress"): "ProgressDocument",
    ("POST", "/policies/{id}/entitlements"): "PolicyEntitlements",
}
_ALWAYS: Final = (400, 401, 403, 404, 429, 431, 500, 503)
_OF_BODIES: Final = (408, 413, 422)
_OF_WRITES: Final = (422,)
_MEANINGS: Final = {
    400: "The request is not of the form that it must have; `source` says where.",
    401: "Who asks is not known.",
    403: "Who asks is known, and may not.",
    404: "What the path names is not there, or not for who asks.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The request is well formed, but can't be done; `source` says why.",
    429: "Too many requests, at once or in a minute. Repeat after `Retry-After`.",
    431: "Path and headers are too large.",
    500: "A mistake of the ledger's own.",
    503: "The ledger can't answer now: never a no. Repeat after `Retry-After`.",
}
_HEADERS: Final = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def document_of(route: Route) -> str | None:
    """Name of the schema of a route's answer; None where it has no body."""
    if route.success == HTTPStatus.NO_CONTENT:
        return None
    special = _SPECIAL.get((route.method, route.path))
    if special is not None:
        return special
    words = [word for word in route.path.removeprefix("/v1/").split("/") if word in NAMES]
    if is_list(route):
        return f"{NAMES[words[-1]]}List"
    made = words[-1] if route.path.endswith("/tokens") else words[0]
    return f"{NAMES[made]}Document"


def of(route: Route) -> dict[str, Any]:
    """Answers of a route, by status."""
    statuses = {*_ALWAYS}
    if route.body is not None:
        statuses |= {*_OF_BODIES}
    if route.writes:
        statuses |= {*_OF_WRITES}
    errors = {
        str(status): {"$ref": f"#/components/responses/{_name(status)}"}
        for status in sorted(statuses)
    }
    pending = {str(int(HTTPStatus.ACCEPTED)): _PENDING} if may_be_pending(route) else {}
    return {str(route.success): _success(route), **pending, **errors}


def errors(example: dict[str, Any]) -> dict[str, Any]:
    """Answers that are errors, by their names; `example`: by status."""
    return {
        _name(status): {
            "description": meaning,
            "headers": dict.fromkeys(_HEADERS.get(status, ()), _TEXT),
            "content": {JSON_API: {"schema": ref("Errors"), "example": example[str(status)]}},
        }
        for status, meaning in _MEANINGS.items()
    }


_TEXT: Final = {"schema": {"type": "string"}}
_PENDING: Final = {
    "description": "Written, and not decided in time, for who sent `Prefer: respond-async`: ask "
    "`Location` for the verdict.",
    "headers": dict.fromkeys(("Location", "Preference-Applied", "Retry-After"), _TEXT),
    "content": {
        JSON_API: {
            "schema": ref("CommandDocument"),
            "examples": {"usual": {"$ref": "#/components/examples/PendingDocument"}},
        }
    },
}


def _name(status: int) -> str:
    return TITLES[status].title().replace(" ", "")


def _success(route: Route) -> dict[str, Any]:
    document = document_of(route)
    if document is None:
        return {"description": "Done; the answer has no body."}
    return {
        "description": "Done.",
        "content": {
            JSON_API: {
                "schema": ref(document),
                "examples": {"usual": {"$ref": f"#/components/examples/{document}"}},
            }
        },
    }
