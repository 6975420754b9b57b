"""Bodies of requests: their form and types, by msgspec. What values may be is requests.py's.

A body that is not of its form is answered 400 with a pointer to where it is not; nothing of what
was sent is quoted but the names of members.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from api.checks import Scope
from api.problems import Problem, malformed, pointer

T = TypeVar("T")

BODY_BYTES_MAX: Final = 64 * 1024
CHECKS_MAX: Final = 1000
"""In one request."""
MANY_BYTES_MAX: Final = CHECKS_MAX * 2048
"""Of a body with many checks: a key and a fingerprint of 512 bytes each, ids, and the names of all
that fit a thousand times."""
_NAME_LENGTH_MAX: Final = 64
_AT: Final = re.compile(r" - at `\$([^`]*)`$")
_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `([^`]*)`$")
_EXPECTED: Final = re.compile(r"^Expected `([a-z0-9 |]+)`(?:, got `([a-z]+)`)?")
_PLAIN: Final = re.compile(r"^[A-Za-z0-9_-]+$")

Nonce = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An object of a body: members that it does not know are refused by name."""


class ScopeBody(Body, frozen=True, kw_only=True):
    """What a check is asked for; `nonce` and scope come back in the answer."""

    product: str | UnsetType = UNSET
    policy: str | UnsetType = UNSET
    fingerprint: str | UnsetType = UNSET
    fingerprints: list[str] | UnsetType = UNSET
    machine: str | UnsetType = UNSET
    entitlements: list[str] | UnsetType = UNSET

    def scope(self) -> Scope:
        """Scope as a check takes it."""
        return Scope(
            product=self.product,
            policy=self.policy,
            fingerprint=self.fingerprint,
            fingerprints=self.fingerprints,
            machine=self.machine,
            entitlements=self.entitlements,
        )


class ValidateMeta(Body, frozen=True, kw_only=True):
    """Meta of a check by id."""

    nonce: Nonce | UnsetType = UNSET
    scope: ScopeBody = ScopeBody()


class ValidateKeyMeta(Body, frozen=True, kw_only=True):
    """Meta of a check by key."""

    key: str
    nonce: Nonce | UnsetType = UNSET
    scope: ScopeBody = ScopeBody()


class Validate(Body, frozen=True, kw_only=True):
    """Body of POST licenses/{id}/actions/validate; it may be missing."""

    meta: ValidateMeta = ValidateMeta()


class ValidateKey(Body, frozen=True, kw_only=True):
    """Body of POST licenses/actions/validate-key."""

    meta: ValidateKeyMeta


UNSCOPED: Final = ScopeBody()
"""Scope of a check that names none."""


class OneOfMany(Body, frozen=True, kw_only=True):
    """A license that is to be checked among others: its key or its id, not both."""

    key: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    scope: ScopeBody = UNSCOPED


class ValidateManyMeta(Body, frozen=True, kw_only=True):
    """Meta of many checks."""

    checks: Annotated[
        list[OneOfMany], Meta(extra_json_schema={"minItems": 1, "maxItems": CHECKS_MAX})
    ]


class ValidateMany(Body, frozen=True, kw_only=True):
    """Body of POST licenses/actions/validate-many."""

    meta: ValidateManyMeta


class Identifier(Body, frozen=True, kw_only=True):
    """Type and id of another resource."""

    type: str
    id: str


class Linkage(Body, frozen=True, kw_only=True):
    """A relationship to one other resource."""

    data: Identifier


class LicenseAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a new license; those from `max_cores` on only with the value that they have."""

    name: str | None = None
    key: str | None = None
    expiry: str | None = None
    max_machines: int | None = None
    max_uses: int | None = None
    protected: bool | None = None
    metadata: dict[str, Any] | None = None
    max_cores: Any = None
    max_disk: Any = None
    max_memory: Any = None
    max_processes: Any = None
    max_users: Any = None
    permissions: Any = None
    suspended: Any = None


class LicenseRelationships(Body, frozen=True, kw_only=True):
    """Relationships of a new license."""

    policy: Linkage
    environment: Any = None
    group: Any = None
    owner: Any = None
    product: Any = None
    user: Any = None


class LicenseData(Body, frozen=True, kw_only=True):
    """A new license."""

    type: str
    relationships: LicenseRelationships
    attributes: LicenseAttributes = LicenseAttributes()


class NewLicense(Body, frozen=True, kw_only=True):
    """Body of POST licenses."""

    data: LicenseData


class MachineAttributes(Body, frozen=True, kw_only=True):
    """Attributes of a new machine; those from `disk` on only with the value that they have."""

    fingerprint: str
    name: str | None = None
    ip: str | None = None
    hostname: str | None = None
    platform: str | None = None
    cores: int | None = None
    metadata: dict[str, Any] | None = None
    seats: int = 1
    disk: Any = None
    max_processes: Any = None
    memory: Any = None


class MachineRelationships(Body, frozen=True, kw_only=True):
    """Relationships of a new machine."""

    license: Linkage
    components: Any = None
    environment: Any = None
    group: Any = None
    owner: Any = None


class MachineData(Body, frozen=True, kw_only=True):
    """A new machine."""

    type: str
    attributes: MachineAttributes
    relationships: MachineRelationships


class NewMachine(Body, frozen=True, kw_only=True):
    """Body of POST machines."""

    data: MachineData


validate_bodies: Final = msgspec.json.Decoder(Validate)
validate_key_bodies: Final = msgspec.json.Decoder(ValidateKey)
validate_many_bodies: Final = msgspec.json.Decoder(ValidateMany)
license_bodies: Final = msgspec.json.Decoder(NewLicense)
machine_bodies: Final = msgspec.json.Decoder(NewMachine)


def read_body(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body; raises a 400 `Problem` that points to where it is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misshapen(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise malformed(
            "JSON_INVALID", "The body is not well-formed JSON in UTF-8: correct it.", pointer("")
        ) from None


def _misshapen(text: str) -> Problem:
    """Say where a body is not of its form. msgspec's own text may quote what was sent."""
    at = _AT.search(text)
    what = text[: at.start()] if at else text
    path = _pointer(at[1]) if at else ""
    unknown = _UNKNOWN.match(what)
    if unknown:
        name = unknown[1]
        if not _PLAIN.match(name) or len(name) > _NAME_LENGTH_MAX:
            return malformed(
                "MEMBER_UNKNOWN", "A member is not known here: leave it out.", pointer(path)
            )
        detail = f"{name} is not known here, or not supported yet: leave it out."
        return malformed("MEMBER_UNKNOWN", detail, pointer(f"{path}/{name}"))
    missing = _MISSING.match(what)
    if missing:
        return malformed(
            "MEMBER_MISSING", f"{missing[1]} is required.", pointer(f"{path}/{missing[1]}")
        )
    expected = _EXPECTED.match(what)
    if expected and expected[2]:
        detail = f"This must be {expected[1]}, it is {expected[2]}: send another value."
    else:
        detail = "This is not of the type that it must have, or too large: send another value."
    return malformed("VALUE_INVALID", detail, pointer(path))


def _pointer(path: str) -> str:
    """JSON pointer of a path of msgspec's, as `.data.list[1].name`; `[...]` is any member."""
    steps = path.replace("[...]", "").replace("[", ".").replace("]", "")
    return steps.replace(".", "/")
