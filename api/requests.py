"""What a request asks, checked: values within their limits, in the one form that is digested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from api.bodies import CHECKS_MAX, UNSCOPED, NewLicense, NewMachine, OneOfMany, ScopeBody
from api.problems import Problem, malformed, not_found, pointer, unprocessable
from ledger.domain.clocks import from_rfc3339
from ledger.domain.events import METADATA_BYTES_MAX, SECRET_BYTES_MAX
from ledger.domain.identifiers import is_id
from ledger.domain.terms import ENTITLEMENTS_MAX, SEATS_MAX, TIME_MS_MAX

KEY_LENGTH_MIN: Final = 6
NAME_LENGTH_MAX: Final = 512
NAME_BYTES_MAX: Final = 1024
"""Of a name that is sealed, in UTF-8."""
FINGERPRINTS_MAX: Final = 20
METADATA_DEPTH_MAX: Final = 32
_ATTRIBUTES: Final = "/data/attributes"
_CHECKS: Final = "/meta/checks"
SURELY_SHORT: Final = SECRET_BYTES_MAX // 4
"""Characters of a text that has no more than `SECRET_BYTES_MAX` bytes, whatever they are."""
_POLICY: Final = "/data/relationships/policy"
_encoder: Final = msgspec.json.Encoder(order="sorted")


class LicenseRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="issue"):
    """A license that was asked for; `metadata` is canonical JSON text, `key` None: make one."""

    policy: str
    key: str | None = None
    name: str | None = None
    expiry_ms: int | None = None
    max_machines: int | None = None
    max_uses: int | None = None
    protected: bool | None = None
    metadata: str | None = None


class MachineRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="activate"):
    """A machine that was asked for on the license with the id `license`."""

    license: str
    fingerprint: str
    seats: int = 1
    name: str | None = None
    hostname: str | None = None
    ip: str | None = None
    platform: str | None = None
    cores: int | None = None
    metadata: str | None = None


class RemovalRequest(Struct, frozen=True, kw_only=True, tag="deactivate"):
    """A machine whose seats are to be given back."""

    machine: str


def canonical(request: object) -> bytes:
    """Bytes that two requests share if and only if they ask the same; for the content digest."""
    return _encoder.encode(request)


def license_request(body: NewLicense, *, policy: str) -> LicenseRequest:
    """Check a new license; raises a `Problem` by the attribute that it is about."""
    data, given = body.data, body.data.attributes
    check_type(data.type, "licenses", "/data/type")
    refuse_unsupported(given, _ATTRIBUTES, "max_cores")
    refuse_unsupported(data.relationships, "/data/relationships", "environment")
    if given.key is not None:
        _check_key(given.key)
    return LicenseRequest(
        policy=policy,
        key=given.key,
        name=name_text(given.name, "name"),
        expiry_ms=None if given.expiry is None else time_ms(given.expiry, "expiry"),
        max_machines=count(given.max_machines, "maxMachines"),
        max_uses=count(given.max_uses, "maxUses", least=0),
        protected=given.protected,
        metadata=metadata_text(given.metadata),
    )


def machine_request(body: NewMachine) -> MachineRequest:
    """Check a new machine; raises a `Problem` by the attribute that it is about."""
    data, given = body.data, body.data.attributes
    check_type(data.type, "machines", "/data/type")
    refuse_unsupported(given, _ATTRIBUTES, "disk")
    refuse_unsupported(data.relationships, "/data/relationships", "components")
    linked = data.relationships.license.data
    check_type(linked.type, "licenses", "/data/relationships/license/data/type")
    license_ = linked.id.lower()
    if not is_id(license_):
        raise not_found("license", pointer("/data/relationships/license"))
    check_secret(given.fingerprint, f"{_ATTRIBUTES}/fingerprint", "fingerprint")
    return MachineRequest(
        license=license_,
        fingerprint=given.fingerprint,
        seats=count(given.seats, "seats") or 1,
        name=name_text(given.name, "name"),
        hostname=name_text(given.hostname, "hostname"),
        ip=name_text(given.ip, "ip"),
        platform=name_text(given.platform, "platform"),
        cores=count(given.cores, "cores"),
        metadata=metadata_text(given.metadata),
    )


def check_many(checks: Sequence[OneOfMany]) -> None:
    """Hold the limits of many checks; raises a 400 `Problem` that points to the first wrong one."""
    if not checks:
        raise malformed(
            "CHECKS_MISSING", "The list of checks is empty: send at least one.", pointer(_CHECKS)
        )
    if len(checks) > CHECKS_MAX:
        raise malformed(
            "TOO_MANY_CHECKS",
            f"A request has at most {CHECKS_MAX} checks: send the others in another one.",
            pointer(_CHECKS),
        )
    for place, one in enumerate(checks):
        if (one.key is UNSET) is (one.id is UNSET):
            raise malformed(
                "KEY_OR_ID",
                "A check names the key or the id of a license, one of them: send that.",
                pointer(f"{_CHECKS}/{place}"),
            )
        if one.key is not UNSET:
            if len(one.key) > SURELY_SHORT:
                check_key_size(one.key, f"{_CHECKS}/{place}/key")
        elif one.id is not UNSET and not is_id(one.id.lower()):
            raise malformed(
                "VALUE_INVALID",
                "This is no id of a license: send its id, or its key as `key`.",
                pointer(f"{_CHECKS}/{place}/id"),
            )
        if one.scope is not UNSCOPED:
            check_scope(one.scope, f"{_CHECKS}/{place}/scope")


def check_scope(scope: ScopeBody, path: str = "/meta/scope") -> None:
    """Hold the limits of a scope; raises a 400 `Problem`."""
    fingerprints = scope.scope().wanted or []
    if scope.entitlements is not UNSET and len(scope.entitlements) > ENTITLEMENTS_MAX:
        raise malformed(
            "TOO_MANY_ENTITLEMENTS",
            f"A scope names at most {ENTITLEMENTS_MAX} entitlements.",
            pointer(f"{path}/entitlements"),
        )
    if len(fingerprints) > FINGERPRINTS_MAX:
        raise malformed(
            "TOO_MANY_FINGERPRINTS",
            f"A scope names at most {FINGERPRINTS_MAX} fingerprints.",
            pointer(f"{path}/fingerprints"),
        )
    for fingerprint in fingerprints:
        if len(fingerprint.encode()) > SECRET_BYTES_MAX:
            raise malformed(
                "VALUE_TOO_LONG",
                f"A fingerprint has at most {SECRET_BYTES_MAX} bytes in UTF-8.",
                pointer(path),
            )


def check_key_size(key: str, path: str = "/meta/key") -> None:
    """Hold the limit of a key that is checked; raises a 400 `Problem`."""
    if len(key.encode()) > SECRET_BYTES_MAX:
        raise malformed(
            "VALUE_TOO_LONG",
            f"A key has at most {SECRET_BYTES_MAX} bytes in UTF-8.",
            pointer(path),
        )


def check_secret(text: str, path: str, what: str) -> None:
    """Hold the limits of a key or a fingerprint; raises a 422 `Problem`."""
    if not text:
        raise unprocessable("VALUE_BLANK", f"The {what} is empty: send one.", path)
    if len(text.encode()) > SECRET_BYTES_MAX:
        raise unprocessable(
            "VALUE_TOO_LONG", f"A {what} has at most {SECRET_BYTES_MAX} bytes in UTF-8.", path
        )


def _check_key(key: str) -> None:
    path = f"{_ATTRIBUTES}/key"
    check_secret(key, path, "key")
    if len(key) < KEY_LENGTH_MIN:
        raise unprocessable(
            "KEY_TOO_SHORT",
            f"A key has at least {KEY_LENGTH_MIN} characters; leave it out and one is made.",
            path,
        )


def policy_named(body: NewLicense) -> str:
    """Id of the policy that a new license names; raises a `Problem` for what is no id."""
    linked = body.data.relationships.policy.data
    check_type(linked.type, "policies", f"{_POLICY}/data/type")
    if not is_id(linked.id.lower()):
        raise no_such_policy()
    return linked.id.lower()


def no_such_policy(path: str = _POLICY) -> Problem:
    """422: the policy that is named is not there, or not for who asks."""
    return unprocessable(
        "POLICY_NOT_FOUND", "There is no such policy for this account: send its id.", path
    )


def nothing_changed() -> Problem:
    """422: a change that names nothing."""
    return unprocessable(
        "NOTHING_CHANGED", "The change names no attribute: send at least one.", _ATTRIBUTES
    )


def check_type(given: str, plural: str, path: str) -> None:
    """Compare the type that a body says; raises a 400 `Problem`."""
    singular = "policy" if plural == "policies" else plural[:-1]
    if given not in {plural, singular}:
        raise malformed("TYPE_INVALID", f"The type here is {plural}: send that.", pointer(path))


def refuse_unsupported(
    given: Struct, path: str, first: str, usual: Mapping[str, object] = {}
) -> None:
    """Refuse by name what this ledger does not do yet, from the member `first` on.

    Null, false for a flag, and what is `usual` ask for nothing. Raises a 422 `Problem`.
    """
    fields = given.__struct_fields__
    for field in fields[fields.index(first) :]:
        value = getattr(given, field)
        if asks_nothing(value) or value == usual.get(field, UNSET):
            continue
        name = given.__struct_encode_fields__[fields.index(field)]
        raise unprocessable(
            "ATTRIBUTE_NOT_SUPPORTED",
            f"{name} is not supported yet: leave it out.",
            f"{path}/{name}",
        )


def asks_nothing(value: object) -> bool:
    """Whether the value of a member that isn't supported is as good as none."""
    return value is UNSET or value is None or value is False or value == {"data": None}


def name_text(text: str | None, name: str) -> str | None:
    """Hold the limits of a name; raises a 422 `Problem`."""
    if text is None:
        return None
    if len(text) > NAME_LENGTH_MAX or len(text.encode()) > NAME_BYTES_MAX:
        raise unprocessable(
            "VALUE_TOO_LONG",
            f"{name} has at most {NAME_LENGTH_MAX} characters, "
            f"and {NAME_BYTES_MAX} bytes in UTF-8.",
            f"{_ATTRIBUTES}/{name}",
        )
    return text


def count(number: int | None, name: str, *, least: int = 1) -> int | None:
    """Hold the limits of a count; raises a 422 `Problem`."""
    if number is not None and not least <= number <= SEATS_MAX:
        raise unprocessable(
            "VALUE_OUT_OF_RANGE",
            f"{name} is a whole number from {least} to {SEATS_MAX}.",
            f"{_ATTRIBUTES}/{name}",
        )
    return number


def time_ms(text: str, name: str) -> int:
    """Milliseconds since 1970 of a time; raises a 422 `Problem` for what is none."""
    try:
        moment_ms = from_rfc3339(text)
    except (ValueError, OverflowError):
        moment_ms = -1
    if not 0 <= moment_ms <= TIME_MS_MAX:
        raise unprocessable(
            "VALUE_INVALID",
            f"{name} is a time with its offset, as 2030-01-01T00:00:00.000Z.",
            f"{_ATTRIBUTES}/{name}",
        )
    return moment_ms


def metadata_text(given: dict[str, Any] | None) -> str | None:
    """Metadata as canonical JSON text; raises a 422 `Problem` above its limits."""
    if given is None:
        return None
    path = f"{_ATTRIBUTES}/metadata"
    if not _is_flat_enough(given, METADATA_DEPTH_MAX):
        raise unprocessable(
            "VALUE_INVALID", f"Metadata is nested at most {METADATA_DEPTH_MAX} deep.", path
        )
    text = _encoder.encode(given)
    if len(text) > METADATA_BYTES_MAX:
        raise unprocessable(
            "VALUE_TOO_LONG", f"Metadata has at most {METADATA_BYTES_MAX} bytes as JSON.", path
        )
    return text.decode()


def _is_flat_enough(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_flat_enough(member, depth - 1) for member in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_flat_enough(member, depth - 1) for member in value)
    return True
