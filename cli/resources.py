"""The API's resources for people: which of their values a table shows, and which one of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from cli.output import print_facts, print_table

Resource = Mapping[str, Any]
Cell = Callable[[Resource], str]

_MINUTES: Final = len("2031-12-31T00:00")
_DAY: Final = len("2031-12-31")


class Shape(Struct, frozen=True, kw_only=True):
    """How a kind of resource is shown.

    `columns` of a table, by name; they fit 80 characters, where those in `folded` may be folded.
    `facts`: attributes and relationships that are told of one, in their order.
    """

    columns: Mapping[str, Cell]
    facts: Sequence[str]
    folded: Sequence[str] = ("name",)


def print_resources(resources: Sequence[Resource], shape: Shape) -> None:
    """Print a table, a resource a line."""
    rows = [[cell(resource) for cell in shape.columns.values()] for resource in resources]
    whole = [name for name in shape.columns if name not in shape.folded]
    print_table(list(shape.columns), rows, whole=whole)


def print_resource(resource: Resource, shape: Shape) -> None:
    """Print what is known of one resource, a fact a line."""
    facts = {"id": resource["id"]}
    for name in shape.facts:
        said = words(_value(resource, name))
        if said:
            facts[_spaced(name)] = said
    print_facts(facts)


def words(value: object) -> str:
    """A value in words; empty for none."""
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and "used" in value:
        return f"{_of(value['used'], value['limit'])} held; peak {value['peak']}"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _value(resource: Resource, name: str) -> object:
    """Value of an attribute, or the id that a relationship names."""
    if name in resource["attributes"]:
        return resource["attributes"][name]
    linked = resource["relationships"].get(name, {}).get("data")
    return None if linked is None else linked["id"]


def _spaced(name: str) -> str:
    """An attribute's name in words: `maxMachines` is `max machines`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def _id(resource: Resource) -> str:
    return str(resource["id"])


def _is(name: str) -> Cell:
    return lambda resource: words(_value(resource, name))


def _day(name: str, otherwise: str = "") -> Cell:
    return lambda resource: words(_value(resource, name))[:_DAY] or otherwise


def _minute(name: str) -> Cell:
    return lambda resource: words(_value(resource, name))[:_MINUTES].replace("T", " ")


def _seats(resource: Resource) -> str:
    seats = resource["attributes"]["seats"]
    return _of(seats["used"], seats["limit"]).replace("unlimited", "∞")


def _of(used: int, limit: int | None) -> str:
    return f"{used} of {'unlimited' if limit is None else limit}"


def _span(resource: Resource) -> str:
    seconds = resource["attributes"]["duration"]
    if seconds is None:
        return "unlimited"
    days, rest = divmod(seconds, 86_400)
    return f"{seconds} s" if rest else f"{days} days"


def _most(resource: Resource) -> str:
    return words(resource["attributes"]["maxMachines"]) or "unlimited"


LICENSES: Final = Shape(
    columns={
        "id": _id,
        "name": _is("name"),
        "status": _is("status"),
        "seats": _seats,
        "expires": _day("expiry", "never"),
    },
    facts=(
        *("key", "name", "status", "seats", "uses", "maxUses", "expiry", "suspended", "protected"),
        *("strict", "floating", "lastValidated", "lastCheckIn", "nextCheckIn"),
        *("refusals", "metadata", "policy", "product", "created", "updated"),
    ),
)
MACHINES: Final = Shape(
    columns={
        "id": _id,
        "hostname": _is("hostname"),
        "name": _is("name"),
        "seats": _is("seats"),
        "activated": _minute("created"),
    },
    facts=(
        *("fingerprint", "name", "hostname", "ip", "platform", "cores", "seats", "metadata"),
        *("license", "product", "created", "updated"),
    ),
    folded=("hostname", "name"),
)
PRODUCTS: Final = Shape(
    columns={"id": _id, "name": _is("name"), "code": _is("code"), "created": _day("created")},
    facts=(
        *("name", "code", "url", "distributionStrategy", "platforms", "metadata"),
        *("created", "updated"),
    ),
    folded=("name", "code"),
)
POLICIES: Final = Shape(
    columns={
        "id": _id,
        "name": _is("name"),
        "version": _is("version"),
        "machines": _most,
        "duration": _span,
    },
    facts=(
        *("name", "version", "duration", "maxMachines", "maxUses", "strict", "floating"),
        *("protected", "overageStrategy", "expirationStrategy", "expirationBasis", "renewalBasis"),
        *("transferStrategy", "authenticationStrategy", "requireCheckIn", "checkInInterval"),
        *("checkInIntervalCount", "requireProductScope", "requirePolicyScope"),
        *("requireMachineScope", "requireFingerprintScope"),
        *("metadata", "product", "created", "updated"),
    ),
)
PROGRESS: Final = Shape(columns={}, facts=("version", "licenses", "behind"))
ACCOUNTS: Final = Shape(columns={}, facts=("slug", "name", "domain", "created", "updated"))
ENTITLEMENTS: Final = Shape(
    columns={"id": _id, "code": _is("code"), "name": _is("name"), "created": _day("created")},
    facts=("code", "name", "metadata", "created", "updated"),
    folded=("code", "name"),
)
TOKENS: Final = Shape(
    columns={
        "id": _id,
        "kind": lambda token: words(_value(token, "kind")).removesuffix("-token"),
        "name": _is("name"),
        "expires": _day("expiry", "never"),
    },
    facts=("kind", "name", "expiry", "bearer", "created", "updated"),
)
