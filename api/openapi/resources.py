"""Documents of answers, as JSON schemas: which resources there are and how they refer to others."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from api.bodies import CHECKS_MAX
from api.openapi import shapes

Schema = dict[str, Any]
REFERENCE: Final = "#/components/schemas/{name}"
_PATH: Final[Schema] = {"type": "string", "format": "uri-reference"}

NAMES: Final = {
    "accounts": "Account",
    "entitlements": "Entitlement",
    "licenses": "License",
    "machines": "Machine",
    "policies": "Policy",
    "products": "Product",
    "tokens": "Token",
}
"""Name of a resource's schema, by its type."""


def schemas() -> Schema:
    """All schemas of answers, by name."""
    _, parts = msgspec.json.schema_components(_SHAPES, ref_template=REFERENCE)
    one, many = _documents(), _lists()
    checks = {"CheckDocument": _check("CheckMeta"), "QuickCheckDocument": _check("QuickCheckMeta")}
    checks |= {"Validation": _validation(), "ManyChecksDocument": _many_checks()}
    return {**parts, **_resources(), **one, **many, **checks, "Me": _me()}


def ref(name: str) -> Schema:
    """Reference to a schema."""
    return {"$ref": REFERENCE.format(name=name)}


def closed(properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """Schema of an object with these members and no other one."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _resources() -> Schema:
    account, license_ = _to("accounts"), _to("licenses")
    product, policy = _to("products"), _to("policies")
    machines = closed({**_counted("count")["properties"], **_elsewhere()["properties"]})
    bearer = {"oneOf": [account, product, license_]}
    return {
        "License": _resource(
            "licenses",
            shapes.ShownLicense,
            account=account,
            product=product,
            policy=policy,
            machines=machines,
        ),
        "Machine": _resource(
            "machines",
            shapes.ShownMachine,
            account=account,
            product=product,
            license=license_,
            owner=_to_nothing(),
            group=_to_nothing(),
            components=_elsewhere(),
            processes=_elsewhere(),
        ),
        "Account": _resource("accounts", shapes.ShownAccount, account=account),
        "Product": _resource("products", shapes.ShownProduct, account=account),
        "Policy": _resource(
            "policies",
            shapes.ShownPolicy,
            account=account,
            product=product,
            entitlements=_elsewhere(),
        ),
        "Entitlement": _resource("entitlements", shapes.ShownEntitlement, account=account),
        "Token": _resource("tokens", shapes.ShownToken, account=account, bearer=bearer),
        "Progress": _resource("policy-progress", shapes.ShownProgress, policy=policy),
        "Command": _command(account, license_),
        "LicenseEntitlement": _attachment("license", license_),
        "PolicyEntitlement": _attachment("policy", policy),
    }


def _resource(type_: str, attributes: type[Struct], **relationships: Schema) -> Schema:
    return closed(
        {
            "id": {"type": "string", "format": "uuid"},
            "type": {"const": type_},
            "attributes": ref(attributes.__name__),
            "relationships": closed(relationships),
            "links": closed({"self": _PATH}),
        }
    )


def _command(account: Schema, license_: Schema) -> Schema:
    whole = _resource("commands", shapes.ShownCommand, account=account, license=license_)
    whole["properties"]["links"] = closed({"self": _PATH, "related": _PATH})
    return whole


def _attachment(to: str, linkage: Schema) -> Schema:
    relationships = {
        "account": _to("accounts"),
        to: linkage,
        "entitlement": _to("entitlements"),
    }
    return closed(
        {
            "id": {"type": "string", "format": "uuid"},
            "type": {"const": f"{to}-entitlements"},
            "attributes": ref(shapes.ShownAttachment.__name__),
            "relationships": closed(relationships),
        }
    )


def _to(type_: str) -> Schema:
    """Relationship to one other resource."""
    identifier = closed({"type": {"const": type_}, "id": {"type": "string", "format": "uuid"}})
    return closed({"data": identifier})


def _to_nothing() -> Schema:
    return closed({"data": {"type": "null"}})


def _elsewhere() -> Schema:
    """Relationship to what has a list of its own."""
    return closed({"links": closed({"related": _PATH})})


def _counted(*names: str) -> Schema:
    return closed({"meta": closed({name: {"type": "integer", "minimum": 0} for name in names})})


def _documents() -> Schema:
    names = (*NAMES.values(), "Progress", "Command")
    return {f"{name}Document": closed({"data": ref(name)}) for name in names}


def _lists() -> Schema:
    listed = {
        f"{name}List": closed({"data": _array(ref(name)), "links": ref("Links")})
        for name in NAMES.values()
    }
    attached = {
        f"{name}s": closed({"data": _array(ref(name))})
        for name in ("LicenseEntitlement", "PolicyEntitlement")
    }
    return listed | attached


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _check(meta: str) -> Schema:
    license_ = {"oneOf": [ref("License"), {"type": "null"}]}
    return closed({"meta": ref(meta), "data": license_})


def _validation() -> Schema:
    """Entry of many checks: a resource that is kept nowhere, so it has no id."""
    attributes = ref(shapes.ShownValidation.__name__)
    return closed({"type": {"const": "validations"}, "attributes": attributes})


def _many_checks() -> Schema:
    data = {**_array(ref("Validation")), "minItems": 1, "maxItems": CHECKS_MAX}
    return closed({"meta": ref(shapes.ManyMeta.__name__), "data": data})


def _me() -> Schema:
    bearer = {"oneOf": [ref("License"), ref("Product"), ref("Account")]}
    one_token = {"type": "array", "items": ref("Token"), "minItems": 1, "maxItems": 1}
    return closed({"data": bearer, "included": one_token}, optional=("included",))


_SHAPES: Final[tuple[type[Struct], ...]] = (
    shapes.ShownLicense,
    shapes.ShownMachine,
    shapes.ShownAccount,
    shapes.ShownProduct,
    shapes.ShownPolicy,
    shapes.ShownProgress,
    shapes.ShownEntitlement,
    shapes.ShownToken,
    shapes.ShownAttachment,
    shapes.ShownCommand,
    shapes.CheckMeta,
    shapes.QuickCheckMeta,
    shapes.ManyMeta,
    shapes.ShownValidation,
    shapes.Links,
    shapes.Errors,
)
