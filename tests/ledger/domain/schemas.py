"""The JSON schemas of docs/format, ready to judge."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from jsonschema_rs import Draft202012Validator, Registry

SCHEMAS = Path(__file__).parents[3] / "docs/format/schemas"


@cache
def _registry() -> Registry:
    found = [json.loads(path.read_text()) for path in sorted(SCHEMAS.glob("*.json"))]
    return Registry([(schema["$id"], schema) for schema in found])


@cache
def schema_of(name: str) -> Draft202012Validator:
    """Judge of one schema, by the name of its file without `.json`."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    return Draft202012Validator(schema, registry=_registry())


def accepted(name: str, record: object) -> bool:
    """Whether the schema of that name takes the record."""
    return schema_of(name).is_valid(record)
