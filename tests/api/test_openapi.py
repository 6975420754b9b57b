"""The OpenAPI document: valid, complete, and true of what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api.app import FORMS
from api.openapi.answers import document_of
from api.openapi.document import description
from api.openapi.parameters import FILTERS, is_list
from api.routes.endpoint import Form
from tests.api.conftest import Worker

DOCUMENT: dict[str, Any] = json.loads(description(FORMS))
COMPONENTS: dict[str, Any] = DOCUMENT["components"]
ROUTES = list({(form.route.method, form.route.path): form for form in FORMS}.values())


def named(form: Form) -> str:
    return f"{form.route.method} {form.route.path}"


def valid(value: object, schema: dict[str, Any]) -> None:
    resource = DRAFT202012.create_resource(DOCUMENT)
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:document#/'))
    Draft202012Validator(absolute, registry=registry, format_checker=FormatChecker()).validate(
        value
    )


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def media() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in operations():
        if "requestBody" in operation:
            yield f"{name}: request", operation["requestBody"]["content"]
        for status, answer in operation["responses"].items():
            found = resolved(answer)
            if "content" in found:
                yield f"{name}: {status}", found["content"]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, _, kind, name = node["$ref"].split("/")
    found: dict[str, Any] = COMPONENTS[kind][name]
    return found


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_example_fits_its_schema() -> None:
    seen = 0
    for where, content in media():
        [(kind, each)] = content.items()
        assert kind == "application/vnd.api+json"
        examples = [resolved(example)["value"] for example in each.get("examples", {}).values()]
        examples += [each["example"]] if "example" in each else []
        assert examples, where
        for example in examples:
            valid(example, each["schema"])
            seen += 1
    assert seen > len(FORMS)


def test_an_example_that_does_not_fit_is_seen() -> None:
    with pytest.raises(Exception, match="VALUE_OUT"):
        valid({"errors": [{"code": "VALUE_OUT"}]}, {"$ref": "#/components/schemas/Errors"})


def test_no_name_is_there_twice_and_nothing_is_deprecated() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(names) == len(set(names)) == len(FORMS)
    assert '"deprecated"' not in json.dumps(DOCUMENT)


@pytest.mark.parametrize("form", ROUTES, ids=named)
def test_a_route_says_what_it_takes_and_answers(form: Form) -> None:
    route = form.route
    operation = DOCUMENT["paths"][form.path][route.method.lower()]
    parameters = (
        [
            COMPONENTS["parameters"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            for each in operation["parameters"]
        ]
        if "parameters" in operation
        else []
    )
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == {part[1:-1] for part in form.path.split("/") if part[:1] == "{"}
    assert ("requestBody" in operation) == (route.body is not None)
    assert ({} in operation["security"]) == route.open_to_all
    assert {"400", "401", "403", "404", "429", "500", "503"} <= set(operation["responses"])
    success = operation["responses"][str(route.success)]
    assert ("content" in success) == (route.success != 204)
    if route.success != 204:
        assert document_of(route) in COMPONENTS["schemas"]


@pytest.mark.parametrize("form", [form for form in ROUTES if is_list(form.route)], ids=named)
async def test_a_list_s_filters_are_those_that_it_offers(worker: Worker, form: Form) -> None:
    path = form.path.replace("{account}", "demo")
    if "{id}" in form.path:
        assert form.route.path not in FILTERS
        return
    answer = await worker.client.get(path, params={"color": "red"})
    assert answer.status_code == 400
    detail = answer.json()["errors"][0]["detail"]
    offered = detail.rpartition("Offered: ")[2].rstrip(".")
    said = FILTERS.get(form.route.path, ())
    assert offered == (", ".join(sorted(said)) or "none")
