"""What a request asks, checked: values within their limits, in the one form that is digested."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from api.bodies import Identifier, NewLicense, NewMachine, ScopeBody
from api.problems import malformed, not_found, pointer, unprocessable
from ledger.domain.clocks import from_rfc3339
from ledger.domain.events import METADATA_BYTES_MAX, SECRET_BYTES_MAX
from ledger.domain.identifiers import is_id
from ledger.domain.terms import SEATS_MAX, TIME_MS_MAX

KEY_LENGTH_MIN: Final = 6
NAME_LENGTH_MAX: Final = 512
NAME_BYTES_MAX: Final = 1024
"""Of a name that is sealed, in UTF-8."""
FINGERPRINTS_MAX: Final = 20
METADATA_DEPTH_MAX: Final = 32
_ATTRIBUTES: Final = "/data/attributes"
_encoder: Final = msgspec.json.Encoder(order="sorted")


class LicenseRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="issue"):
    """A license that was asked for; `metadata` is canonical JSON text, `key` None: make one."""

    policy: str
    key: str | None = None
    name: str | None = None
    expiry_ms: int | None = None
    max_machines: int | None = None
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


def canonical(request: LicenseRequest | MachineRequest | RemovalRequest) -> bytes:
    """Bytes that two requests share if and only if they ask the same; for the content digest."""
    return _encoder.encode(request)


def license_request(body: NewLicense, *, policy: str) -> LicenseRequest:
    """Check a new license; raises a `Problem` by the attribute that it is about."""
    data, given = body.data, body.data.attributes
    _check_type(data.type, "licenses", "/data/type")
    _refuse_unsupported(given, _ATTRIBUTES, "max_cores")
    _refuse_unsupported(data.relationships, "/data/relationships", "environment")
    _check_policy(data.relationships.policy.data, policy)
    if given.key is not None:
        _check_key(given.key)
    return LicenseRequest(
        policy=policy,
        key=given.key,
        name=_name(given.name, "name"),
        expiry_ms=None if given.expiry is None else _time_ms(given.expiry, "expiry"),
        max_machines=_count(given.max_machines, "maxMachines"),
        metadata=_metadata(given.metadata),
    )


def machine_request(body: NewMachine) -> MachineRequest:
    """Check a new machine; raises a `Problem` by the attribute that it is about."""
    data, given = body.data, body.data.attributes
    _check_type(data.type, "machines", "/data/type")
    _refuse_unsupported(given, _ATTRIBUTES, "disk")
    _refuse_unsupported(data.relationships, "/data/relationships", "components")
    linked = data.relationships.license.data
    _check_type(linked.type, "licenses", "/data/relationships/license/data/type")
    license_ = linked.id.lower()
    if not is_id(license_):
        raise not_found("license", pointer("/data/relationships/license"))
    check_secret(given.fingerprint, f"{_ATTRIBUTES}/fingerprint", "fingerprint")
    return MachineRequest(
        license=license_,
        fingerprint=given.fingerprint,
        seats=_count(given.seats, "seats") or 1,
        name=_name(given.name, "name"),
        hostname=_name(given.hostname, "hostname"),
        ip=_name(given.ip, "ip"),
        platform=_name(given.platform, "platform"),
        cores=_count(given.cores, "cores"),
        metadata=_metadata(given.metadata),
    )


def check_scope(scope: ScopeBody) -> None:
    """Hold the limits of a scope; raises a 400 `Problem`."""
    fingerprints = scope.scope().wanted or []
    if len(fingerprints) > FINGERPRINTS_MAX:
        raise malformed(
            "TOO_MANY_FINGERPRINTS",
            f"A scope names at most {FINGERPRINTS_MAX} fingerprints.",
            pointer("/meta/scope/fingerprints"),
        )
    for fingerprint in fingerprints:
        if len(fingerprint.encode()) > SECRET_BYTES_MAX:
            raise malformed(
                "VALUE_TOO_LONG",
                f"A fingerprint has at most {SECRET_BYTES_MAX} bytes in UTF-8.",
                pointer("/meta/scope"),
            )


def check_key_size(key: str) -> None:
    """Hold the limit of a key that is checked; raises a 400 `Problem`."""
    if len(key.encode()) > SECRET_BYTES_MAX:
        raise malformed(
            "VALUE_TOO_LONG",
            f"A key has at most {SECRET_BYTES_MAX} bytes in UTF-8.",
            pointer("/meta/key"),
        )


def check_secret(text: str, path: str, what: str) -> None:
    """Hold the limits of a key or a fingerprint; raises a 422 `Problem`."""
    if not text:
        raise unprocessable("VALUE_BLANK", f"The {what} is empty.", path)
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


def _check_policy(linked: Identifier, policy: str) -> None:
    path = "/data/relationships/policy"
    _check_type(linked.type, "policies", f"{path}/data/type")
    if linked.id.lower() != policy:
        raise unprocessable(
            "POLICY_NOT_FOUND", "There is no such policy for this account: send its id.", path
        )


def _check_type(given: str, plural: str, path: str) -> None:
    singular = "policy" if plural == "policies" else plural[:-1]
    if given not in {plural, singular}:
        raise malformed("TYPE_INVALID", f"The type here is {plural}.", pointer(path))


def _refuse_unsupported(given: Struct, path: str, first: str) -> None:
    """Refuse by name what this ledger does not do yet; null, and false for a flag, ask nothing."""
    fields = given.__struct_fields__
    for field in fields[fields.index(first) :]:
        value = getattr(given, field)
        if value is None or value is False or value == {"data": None}:
            continue
        name = given.__struct_encode_fields__[fields.index(field)]
        raise unprocessable(
            "ATTRIBUTE_NOT_SUPPORTED",
            f"{name} is not supported yet: leave it out.",
            f"{path}/{name}",
        )


def _name(text: str | None, name: str) -> str | None:
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


def _count(number: int | None, name: str) -> int | None:
    if number is not None and not 1 <= number <= SEATS_MAX:
        raise unprocessable(
            "VALUE_OUT_OF_RANGE",
            f"{name} is a whole number from 1 to {SEATS_MAX}.",
            f"{_ATTRIBUTES}/{name}",
        )
    return number


def _time_ms(text: str, name: str) -> int:
    try:
        time_ms = from_rfc3339(text)
    except (ValueError, OverflowError):
        time_ms = -1
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise unprocessable(
            "VALUE_INVALID",
            f"{name} is a time with its offset, as 2030-01-01T00:00:00.000Z.",
            f"{_ATTRIBUTES}/{name}",
        )
    return time_ms


def _metadata(given: dict[str, Any] | None) -> str | None:
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
