"""Parameters of paths and queries, and headers of requests, as the OpenAPI document names them."""

from __future__ import annotations

from typing import Any, Final

from api.exchange import IDEMPOTENCY_KEY_MAX
from api.filters import IDS
from api.listing import METADATA, NUMBER_MAX, SIZE, SIZE_MAX
from api.openapi.resources import NAMES
from api.pending import CONTENT
from api.positions import AT_LEAST, POSITION
from api.resources import STATUSES
from api.routes.endpoint import Form, Route
from api.routes.lists import LICENSE_FILTERS, MACHINE_FILTERS
from api.routes.tokens import BEARER_TYPES

Parameter = dict[str, Any]
REFERENCE: Final = "#/components/parameters/{name}"

FILTERS: Final[dict[str, tuple[str, ...]]] = {
    "/licenses": LICENSE_FILTERS,
    "/machines": MACHINE_FILTERS,
    "/policies": ("product",),
    "/tokens": ("bearer[id]", "bearer[type]"),
}
"""Filters of lists that offer some, by the list's path."""
_WORDS: Final = {"status": STATUSES, "bearer[type]": BEARER_TYPES}
_NAMED_BY: Final = {
    "licenses": "Id of a license, or its key.",
    "machines": "Id of a machine, or its fingerprint.",
}
_PAGES: Final = ("Limit", "PageNumber", "PageSize", "PageCursor")


def shared() -> dict[str, Parameter]:
    """Parameters that many routes have, by their names in the document."""
    size = {"type": "integer", "minimum": 1, "maximum": SIZE_MAX}
    number = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX}
    return {
        "Account": _path("account", "Id of an account, or its slug."),
        "Limit": _query(
            "limit", {**size, "default": SIZE}, "Only the newest so many, without links."
        ),
        "PageNumber": _query("page[number]", number, "Number of a page, from 1."),
        "PageSize": _query("page[size]", size, "Entries of a page."),
        "PageCursor": _query(
            "page[cursor]",
            {"type": "string"},
            "Id of the last entry of the page before; empty for the first page.",
        ),
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Makes repeating safe: the same key and request are decided once.",
            "schema": {
                "type": "string",
                "minLength": 1,
                "maxLength": IDEMPOTENCY_KEY_MAX,
                "pattern": r"^[!-~]([ -~]*[!-~])?$",
            },
        },
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "description": "With `respond-async` what is written and not decided in time is "
            "answered 202 with the URL of its verdict; without it, 503 (RFC 7240).",
            "schema": {"type": "string"},
        },
        "AtLeast": {
            "name": AT_LEAST,
            "in": "header",
            "description": "A position that an answer has named (`Ledger-Position`): the check is "
            "answered from a state that knows of it, or with 503.",
            "schema": {"type": "string", "pattern": POSITION},
        },
    }


def of_path(form: Form) -> list[Parameter]:
    """Parameters of a path."""
    found: list[Parameter] = []
    if "{account}" in form.path:
        found.append(_reference("Account"))
    if "{command}" in form.path:
        named = (("id", "Id of a license."), ("command", "Id of a command on it."))
        schema = {"type": "string", "format": "uuid"}
        found += [{**_path(*each), "schema": schema} for each in named]
    elif "{id}" in form.path:
        kind = form.route.path.split("/")[1]
        found.append(_path("id", _NAMED_BY.get(kind, "Its id.")))
    return found


def of_request(route: Route) -> list[Parameter]:
    """Parameters of a route's query, and headers."""
    if may_be_pending(route):
        return [_reference("IdempotencyKey"), _reference("Prefer")]
    if route.writes:
        return [_reference("IdempotencyKey")]
    if "{command}" in route.path:
        return [_required("position", POSITION), _required("content", CONTENT)]
    if "/actions/validate" in route.path:
        return [_reference("AtLeast")]
    if not is_list(route):
        return []
    filters = [_filter(name) for name in FILTERS.get(route.path, ())]
    return [*(_reference(name) for name in _PAGES), *filters]


def may_be_pending(route: Route) -> bool:
    """Whether a route writes to a license, and so is answered 202 where that is preferred."""
    of_license = route.path.split("/")[1] in {"licenses", "machines"}
    return route.writes and of_license and not route.path.endswith("/tokens")


def is_list(route: Route) -> bool:
    """Whether a route answers with a page of resources."""
    return route.method == "GET" and route.path.rpartition("/")[2] in NAMES


def _filter(name: str) -> Parameter:
    if name == METADATA.rstrip("["):
        return {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "description": "Only with this value of metadata: `metadata[name]=value`.",
            "schema": {"type": "object"},
        }
    schema: dict[str, Any] = {"type": "string"}
    if name in _WORDS:
        schema |= {"enum": list(_WORDS[name])}
    elif name in IDS:
        schema |= {"format": "uuid"}
    return _query(name, schema, f"Only with this {name}.")


def _path(name: str, description: str) -> Parameter:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


def _query(name: str, schema: dict[str, Any], description: str) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _required(name: str, pattern: str) -> Parameter:
    """Part of a URL that an answer has named."""
    schema = {"type": "string", "pattern": pattern}
    described = "As `Location` of the answer 202 has it."
    return {**_query(name, schema, described), "required": True}


def _reference(name: str) -> Parameter:
    return {"$ref": REFERENCE.format(name=name)}
