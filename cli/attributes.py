"""Attributes as they are given on the command line, and the bodies of requests made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Final

import typer

from cli.trouble import Missing

_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_SPAN: Final = re.compile(r"(\d{1,12})([smhd]?)")
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        metavar="NAME=VALUE",
        help="Own values, as JSON or as they are; all of them together replace what was there.",
    ),
]
WithMetadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="NAME=VALUE", help="Those with this in their metadata."),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="ATTRIBUTE=VALUE",
        help="Any attribute of the API's, by its name there; null clears it.",
    ),
]
Expiry = Annotated[
    str | None,
    typer.Option(
        "--expiry", metavar="TIME", help="A day, good through it, or 2031-12-31T18:00:00Z."
    ),
]


def attributes(
    *, set_: Sequence[str] | None = None, metadata: Sequence[str] | None = None, **given: object
) -> dict[str, Any]:
    """Attributes that were given, by the API's names for them: `max_machines` is `maxMachines`."""
    found = {_camel(name): value for name, value in given.items() if value is not None}
    if metadata:
        found["metadata"] = pairs("--metadata", metadata)
    return found | pairs("--set", set_ or ())


def pairs(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Names and values of NAME=VALUE; a value is JSON where it can be, else text."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Missing(f"{option} takes NAME=VALUE")
        found[name] = _read(value)
    return found


def metadata_filters(texts: Sequence[str] | None) -> dict[str, str]:
    """Filters of a list by what its entries have in their metadata."""
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise Missing("--metadata takes NAME=VALUE")
        found[f"metadata[{name}]"] = value
    return found


def moment(text: str | None) -> str | None:
    """A time as the API takes it; a day is good through it, in UTC. Raises `Missing`."""
    if text is None or not _DAY.fullmatch(text):
        return text
    try:
        return f"{date.fromisoformat(text) + timedelta(days=1)}T00:00:00.000Z"
    except (ValueError, OverflowError):
        raise Missing(f"{text} is no day of the calendar") from None


def seconds(text: str | None, option: str = "--duration") -> int | None:
    """Seconds of a span: 3600, 90m, 12h, 30d. Raises `Missing`, naming the option."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    if span is None:
        raise Missing(f"{option} is a number of seconds, or a span like 12h or 365d")
    return int(span[1]) * _UNIT_S[span[2]]


def body(
    type_: str, given: Mapping[str, Any] | None = None, **related: tuple[str, str]
) -> dict[str, Any]:
    """Body that makes or changes a resource; `related`: type and id of others, by relationship."""
    data: dict[str, Any] = {"type": type_, "attributes": dict(given or {})}
    if related:
        data["relationships"] = {name: linked(*other) for name, other in related.items()}
    return {"data": data}


def linked(type_: str, id_: str) -> dict[str, Any]:
    """Body, or relationship, that names one other resource."""
    return {"data": {"type": type_, "id": id_}}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.title() for other in others)


def _read(text: str) -> Any:  # noqa: ANN401 - whatever JSON may be
    try:
        return json.loads(text)
    except ValueError:
        return text
