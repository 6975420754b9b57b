"""The OpenAPI document: each route in each form of its URL, with what it takes and answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from api.exchange import JSON_API, exchange_of
from api.openapi import answers, examples, parameters, resources
from api.openapi.resources import ref
from api.routes.endpoint import Form, Route

DESCRIPTION: Final = "/openapi.json"
_REFERENCE: Final = re.compile(r'"#/components/(\w+)/([^"]+)"')
OPENAPI: Final = "3.1.0"
VERSION: Final = "1.8"
_ABOUT: Final = """\
License checks, licenses, machines, and the catalog that they rest on. Every route is there twice: \
with the account in its path, and without, where the host says which account is meant. Bodies are \
JSON:API; `application/json` is taken too. HEAD is answered wherever GET is, OPTIONS everywhere. \
Every answer has `X-Request-Id`; what has a position in the ledger has `Ledger-Position`."""
_SCHEMES: Final[dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token; `Token` means the same"},
    "license": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "`License` and a license key",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "`license` and a key, `token` and a token, or a token and nothing",
    },
    "tokenInQuery": {"type": "apiKey", "in": "query", "name": "token"},
    "pairInQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "auth",
        "description": "`license:` and a key, or `token:` and a token",
    },
}


def description_router(forms: Sequence[Form]) -> APIRouter:
    """Route of the document, which is made when somebody asks for it."""
    router = APIRouter()

    @router.get(DESCRIPTION)
    async def described(request: Request) -> Response:
        exchange_of(request).route = DESCRIPTION
        return Response(description(tuple(forms)), media_type="application/json")

    return router


@lru_cache(maxsize=1)
def description(forms: tuple[Form, ...]) -> bytes:
    """OpenAPI document of routes, as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for form in forms:
        operation = _operation(form)
        links = _links(form, forms)
        if links:
            operation["responses"][str(form.route.success)]["links"] = links
        paths.setdefault(form.path, {})[form.route.method.lower()] = operation
    routes = [form.route for form in forms]
    shown = {**examples.answers(), **examples.BODIES}
    components = {
        "schemas": {**resources.schemas(), **_bodies(routes)},
        "parameters": parameters.shared(),
        "responses": answers.errors(examples.errors()),
        "examples": {name: {"value": value} for name, value in shown.items()},
    }
    return msgspec.json.encode(
        {
            "openapi": OPENAPI,
            "info": {"title": "The license ledger", "version": VERSION, "description": _ABOUT},
            "servers": [{"url": "/"}],
            "tags": [{"name": name} for name in sorted({_tag(route) for route in routes})],
            "paths": paths,
            "components": {**_used(paths, components), "securitySchemes": _SCHEMES},
        }
    )


def _used(paths: object, components: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the components that paths refer to, by way of others too."""
    used: dict[str, dict[str, Any]] = {kind: {} for kind in components}
    waiting: list[object] = [paths]
    while waiting:
        for kind, name in _REFERENCE.findall(msgspec.json.encode(waiting.pop()).decode()):
            if name not in used[kind]:
                used[kind][name] = components[kind][name]
                waiting.append(components[kind][name])
    return {kind: {name: used[kind][name] for name in sorted(used[kind])} for kind in used}


def _operation(form: Form) -> dict[str, Any]:
    route = form.route
    asked = [*parameters.of_path(form), *parameters.of_request(route)]
    return {
        "operationId": _operation_id(form),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": f"For the roles {', '.join(sorted(route.roles))}.",
        **({"parameters": asked} if asked else {}),
        **({} if route.body is None else {"requestBody": _body(route.body)}),
        "responses": answers.of(route),
        "security": [*([{}] if route.open_to_all else []), *({name: []} for name in _SCHEMES)],
    }


def _links(made: Form, forms: Iterable[Form]) -> dict[str, Any]:
    """What can be done with what a route has made: by its id."""
    if made.route.success != HTTPStatus.CREATED:
        return {}
    kind = made.route.path.rpartition("/")[2]
    account = {"account": "$request.path.account"} if "{account}" in made.prefix else {}
    return {
        _operation_id(form): {
            "operationId": _operation_id(form),
            "parameters": {"id": "$response.body#/data/id", **account},
        }
        for form in forms
        if form.prefix == made.prefix and form.route.path.startswith(f"/{kind}/{{id}}")
    }


def _operation_id(form: Form) -> str:
    words = [word for part in form.route.path.split("/") for word in part.split("-")]
    named = [f"By{word[1:-1].title()}" if word[:1] == "{" else word.title() for word in words]
    of_account = "OfAccount" if "{account}" in form.prefix else ""
    return form.route.method.lower() + "".join(named) + of_account


def _tag(route: Route) -> str:
    return route.path.removeprefix("/v1").split("/")[1]


def _body(body: type[Struct]) -> dict[str, Any]:
    fields = msgspec.structs.fields(body)
    example = {"$ref": f"#/components/examples/{body.__name__}"}
    media = {"schema": ref(body.__name__), "examples": {"usual": example}}
    return {"required": any(field.required for field in fields), "content": {JSON_API: media}}


def _bodies(routes: Iterable[Route]) -> dict[str, Any]:
    bodies = [route.body for route in routes if route.body is not None]
    _, parts = msgspec.json.schema_components(bodies, ref_template=resources.REFERENCE)
    for part in parts.values():
        for member in part.get("properties", {}).values():
            if not member.keys() & {"type", "$ref", "anyOf", "enum", "const"}:
                member["description"] = "Not supported: leave it out, or send what answers say."
    return parts
