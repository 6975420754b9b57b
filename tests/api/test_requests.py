"""Bodies: their form, their limits, and where an error points to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from api.bodies import (
    license_bodies,
    machine_bodies,
    read_body,
    validate_bodies,
    validate_key_bodies,
)
from api.problems import Problem
from api.requests import (
    METADATA_DEPTH_MAX,
    LicenseRequest,
    MachineRequest,
    canonical,
    check_key_size,
    check_scope,
    license_request,
    machine_request,
    policy_named,
)
from ledger.domain.events import METADATA_BYTES_MAX
from tests.vendor import license_body, machine_body

POLICY = "11111111-2222-5333-8444-555555555555"
LICENSE = "11111111-2222-8333-8444-555555555555"
SECRET = "s3cret-value"


def of_license(body: object) -> LicenseRequest:
    read = read_body(license_bodies, json.dumps(body).encode())
    return license_request(read, policy=policy_named(read))


def of_machine(body: object) -> MachineRequest:
    return machine_request(read_body(machine_bodies, json.dumps(body).encode()))


def refused(
    body: object, which: Callable[[object], object]
) -> tuple[int, str, dict[str, str] | None]:
    with pytest.raises(Problem) as caught:
        which(body)
    problem = caught.value
    assert SECRET not in problem.document("id").decode()
    return problem.status, problem.code, problem.error.source


def deep(depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for _ in range(depth - 1):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    ("attributes", "status", "code", "at"),
    [
        ({"key": "short"}, 422, "KEY_TOO_SHORT", "key"),
        ({"key": ""}, 422, "VALUE_BLANK", "key"),
        ({"key": "ü" * 257}, 422, "VALUE_TOO_LONG", "key"),
        ({"key": 5}, 400, "VALUE_INVALID", "key"),
        ({"name": "x" * 513}, 422, "VALUE_TOO_LONG", "name"),
        ({"name": ["x"]}, 400, "VALUE_INVALID", "name"),
        ({"expiry": "2030-01-01"}, 422, "VALUE_INVALID", "expiry"),
        ({"expiry": SECRET}, 422, "VALUE_INVALID", "expiry"),
        ({"expiry": "1969-12-31T23:59:59Z"}, 422, "VALUE_INVALID", "expiry"),
        ({"expiry": 5}, 400, "VALUE_INVALID", "expiry"),
        ({"maxMachines": 0}, 422, "VALUE_OUT_OF_RANGE", "maxMachines"),
        ({"maxMachines": 2**31}, 422, "VALUE_OUT_OF_RANGE", "maxMachines"),
        ({"maxMachines": 1.5}, 400, "VALUE_INVALID", "maxMachines"),
        ({"maxMachines": "3"}, 400, "VALUE_INVALID", "maxMachines"),
        ({"metadata": [1]}, 400, "VALUE_INVALID", "metadata"),
        ({"metadata": {"a": "x" * METADATA_BYTES_MAX}}, 422, "VALUE_TOO_LONG", "metadata"),
        ({"metadata": deep(METADATA_DEPTH_MAX + 1)}, 422, "VALUE_INVALID", "metadata"),
        ({"maxUses": -1}, 422, "VALUE_OUT_OF_RANGE", "maxUses"),
        ({"maxCores": 3}, 422, "ATTRIBUTE_NOT_SUPPORTED", "maxCores"),
        ({"protected": 1}, 400, "VALUE_INVALID", "protected"),
        ({"permissions": []}, 422, "ATTRIBUTE_NOT_SUPPORTED", "permissions"),
        ({"color": "red"}, 400, "MEMBER_UNKNOWN", "color"),
    ],
)
def test_a_license_s_attribute_is_refused_by_name(
    attributes: dict[str, object], status: int, code: str, at: str
) -> None:
    found = refused(license_body(POLICY, **attributes), of_license)
    assert found == (status, code, {"pointer": f"/data/attributes/{at}"})


@pytest.mark.parametrize(
    ("attributes", "status", "code", "at"),
    [
        ({"fingerprint": ""}, 422, "VALUE_BLANK", "fingerprint"),
        ({"fingerprint": "ü" * 257}, 422, "VALUE_TOO_LONG", "fingerprint"),
        ({"fingerprint": None}, 400, "VALUE_INVALID", "fingerprint"),
        ({"hostname": "😀" * 257}, 422, "VALUE_TOO_LONG", "hostname"),
        ({"name": "x" * 513}, 422, "VALUE_TOO_LONG", "name"),
        ({"ip": "x" * 513}, 422, "VALUE_TOO_LONG", "ip"),
        ({"platform": "x" * 513}, 422, "VALUE_TOO_LONG", "platform"),
        ({"cores": 0}, 422, "VALUE_OUT_OF_RANGE", "cores"),
        ({"seats": 0}, 422, "VALUE_OUT_OF_RANGE", "seats"),
        ({"seats": 2**31}, 422, "VALUE_OUT_OF_RANGE", "seats"),
        ({"seats": True}, 400, "VALUE_INVALID", "seats"),
        ({"memory": 5}, 422, "ATTRIBUTE_NOT_SUPPORTED", "memory"),
        ({"maxProcesses": 5}, 422, "ATTRIBUTE_NOT_SUPPORTED", "maxProcesses"),
    ],
)
def test_a_machine_s_attribute_is_refused_by_name(
    attributes: dict[str, object], status: int, code: str, at: str
) -> None:
    body = machine_body(LICENSE, "fingerprint")
    body["data"]["attributes"] |= attributes
    assert refused(body, of_machine) == (status, code, {"pointer": f"/data/attributes/{at}"})


def changed(body: dict[str, object], path: str, value: object) -> dict[str, object]:
    *way, last = path.split("/")
    at: Any = body
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "status", "code", "pointer"),
    [
        ("data", ..., 400, "MEMBER_MISSING", "/data"),
        ("data", [], 400, "VALUE_INVALID", "/data"),
        ("data/type", "cars", 400, "TYPE_INVALID", "/data/type"),
        ("data/id", LICENSE, 400, "MEMBER_UNKNOWN", "/data/id"),
        ("data/relationships", ..., 400, "MEMBER_MISSING", "/data/relationships"),
        ("data/relationships/policy", ..., 400, "MEMBER_MISSING", "/data/relationships/policy"),
        (
            "data/relationships/policy/data/id",
            "standard",
            422,
            "POLICY_NOT_FOUND",
            "/data/relationships/policy",
        ),
        (
            "data/relationships/policy/data/type",
            "licenses",
            400,
            "TYPE_INVALID",
            "/data/relationships/policy/data/type",
        ),
        (
            "data/relationships/owner",
            {"data": {"type": "users", "id": LICENSE}},
            422,
            "ATTRIBUTE_NOT_SUPPORTED",
            "/data/relationships/owner",
        ),
        (SECRET, 5, 400, "MEMBER_UNKNOWN", None),
    ],
)
def test_a_body_that_is_no_license_is_told_where(
    path: str, value: object, status: int, code: str, pointer: str | None
) -> None:
    body = changed(license_body(POLICY), path, value)
    with pytest.raises(Problem) as caught:
        of_license(body)
    assert (caught.value.status, caught.value.code) == (status, code)
    if pointer is not None:
        assert caught.value.error.source == {"pointer": pointer}


@pytest.mark.parametrize("linked", ["nonsense", "a key of a license", ""])
def test_a_machine_s_license_is_named_by_its_id(linked: str) -> None:
    assert refused(machine_body(linked, "fingerprint"), of_machine) == (
        404,
        "NOT_FOUND",
        {"pointer": "/data/relationships/license"},
    )


def test_what_is_asked_for_nothing_may_stand_there() -> None:
    body = license_body(POLICY, maxUses=None, maxCores=None, suspended=False, permissions=None)
    body["data"]["relationships"]["owner"] = {"data": None}
    body["data"]["type"] = "license"
    assert of_license(body) == of_license(license_body(POLICY))


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"data":', b"\xff\xfe", b'{"data":{"type":"\xff"}}', b"nonsense"]
)
def test_what_is_no_json_is_told_so(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        read_body(license_bodies, body)
    assert (caught.value.status, caught.value.code) == (400, "JSON_INVALID")


def test_deep_metadata_is_refused_and_no_more_than_that() -> None:
    body = b'{"data":{"type":"licenses","attributes":{"metadata":{"a":%s}}}}'
    nested = body % (b'{"a":' * 5000 + b"1" + b"}" * 5000)
    with pytest.raises(Problem) as caught:
        read_body(license_bodies, nested)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("meta", "pointer"),
    [
        ({"scope": {"user": "x"}}, "/meta/scope/user"),
        ({"scope": {"components": []}}, "/meta/scope/components"),
        ({"scope": {"fingerprint": 5}}, "/meta/scope/fingerprint"),
        ({"scope": {"fingerprint": None}}, "/meta/scope/fingerprint"),
        ({"scope": {"fingerprints": "x"}}, "/meta/scope/fingerprints"),
        ({"scope": {"fingerprints": ["a", 5]}}, "/meta/scope/fingerprints/1"),
        ({"scope": {"product": 5}}, "/meta/scope/product"),
        ({"scope": []}, "/meta/scope"),
        ({"nonce": "5"}, "/meta/nonce"),
        ({"nonce": 2**63}, "/meta/nonce"),
        ({"other": 1}, "/meta/other"),
    ],
)
def test_a_scope_that_is_not_known_is_refused_by_name(
    meta: dict[str, object], pointer: str
) -> None:
    def validate(body: object) -> None:
        read_body(validate_bodies, json.dumps(body).encode())

    status, _, source = refused({"meta": meta}, validate)
    assert (status, source) == (400, {"pointer": pointer})


def test_limits_of_a_check() -> None:
    meta = {"meta": {"key": "k", "scope": {"fingerprints": ["f"] * 21}}}
    body = read_body(validate_key_bodies, json.dumps(meta).encode())
    with pytest.raises(Problem, match="TOO_MANY_FINGERPRINTS"):
        check_scope(body.meta.scope)
    meta = {"meta": {"key": "k", "scope": {"fingerprint": "f" * 513}}}
    body = read_body(validate_key_bodies, json.dumps(meta).encode())
    with pytest.raises(Problem, match="VALUE_TOO_LONG"):
        check_scope(body.meta.scope)
    with pytest.raises(Problem, match="VALUE_TOO_LONG"):
        check_key_size("k" * 513)
    check_key_size("k" * 512)


def test_the_same_request_has_the_same_canonical_bytes() -> None:
    one = license_body(POLICY, name="n", metadata={"b": 1, "a": [1.50, {"d": None, "c": "ü"}]})
    same = license_body(
        POLICY.upper(), metadata={"a": [1.5, {"c": "ü", "d": None}], "b": 1}, name="n"
    )
    other = license_body(POLICY, name="n", metadata={"b": 2, "a": [1.50, {"d": None, "c": "ü"}]})
    assert canonical(of_license(one)) == canonical(of_license(same))
    assert canonical(of_license(one)) != canonical(of_license(other))
    assert of_license(one).metadata == '{"a":[1.5,{"c":"ü","d":null}],"b":1}'


def test_a_time_is_the_same_in_every_offset() -> None:
    one = of_license(license_body(POLICY, expiry="2030-01-01T01:00:00+01:00"))
    same = of_license(license_body(POLICY, expiry="2030-01-01T00:00:00.000Z"))
    assert one.expiry_ms == same.expiry_ms
    assert canonical(one) == canonical(same)


def test_requests_of_two_kinds_never_share_their_bytes() -> None:
    machine = of_machine(machine_body(LICENSE, "fingerprint"))
    assert canonical(machine) != canonical(of_license(license_body(POLICY)))
    assert b'"type":"activate"' in canonical(machine)
