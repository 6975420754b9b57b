"""Examples of requests and answers. Answers are rendered as real ones are, of made-up values."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec

from api import checks
from api.bodies import ScopeBody, ValidateKeyMeta
from api.catalog.resources import entity_resource, linked, list_document, progress_resource
from api.listing import Listing, Page
from api.pending import Command, command_path, command_resource
from api.problems import (
    Problem,
    broken,
    malformed,
    not_found,
    over_limit,
    unauthorized,
    unavailable,
    unprocessable,
)
from api.requests import MachineRequest
from api.resources import (
    UNTOLD_ENTRY,
    Said,
    check_document,
    checks_document,
    document,
    document_with,
    license_resource,
    machine_resource,
    one_of_many,
)
from ledger.domain.catalog.entities import Account, Entitlement, Policy, Product, Token
from ledger.domain.clocks import rfc3339
from ledger.domain.license import License
from ledger.domain.terms import Terms
from ledger.domain.verdicts import GRANTED, Verdict
from projector.views.documents import license_document, read_answer

_ACCOUNT: Final = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e01"
_PRODUCT: Final = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e02"
_POLICY: Final = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e03"
_LICENSE: Final = "5f1c3a52-6d0b-8e0c-9a54-2f3a8c1d7e04"
_MACHINE: Final = "5f1c3a52-6d0b-8e0c-9a54-2f3a8c1d7e05"
_ENTITLEMENT: Final = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e06"
_TOKEN: Final = "5f1c3a52-6d0b-5e0c-9a54-2f3a8c1d7e07"  # noqa: S105 - an id
_NOW_MS: Final = 1_893_456_000_000
_REQUEST: Final = "8f14e45fceea167a5a36dedd4bea2543"
_KEY: Final = "ACME-2030-0001"
_FINGERPRINT: Final = "4c:aa:16:b2"
_TERMS: Final = Terms(max_machines=2, duration_s=31_536_000, strict=True)


def _body(
    type_: str, attributes: dict[str, object], **relationships: dict[str, object]
) -> dict[str, Any]:
    linked_to = {"relationships": relationships} if relationships else {}
    return {"data": {"type": type_, "attributes": attributes, **linked_to}}


BODIES: Final[dict[str, Any]] = {
    "AccountBody": _body("accounts", {"slug": "acme", "name": "ACME"}),
    "EntitlementBody": _body("entitlements", {"name": "Export", "code": "EXPORT"}),
    "Identifiers": {"data": [{"type": "entitlements", "id": _ENTITLEMENT}]},
    "LicenseChange": _body("licenses", {"maxMachines": 5, "metadata": {"order": 4711}}),
    "MachineChange": _body("machines", {"name": "build-7"}),
    "NewLicense": _body(
        "licenses",
        {"name": "ACME", "key": _KEY, "metadata": {"order": 4711}},
        policy=linked("policies", _POLICY),
    ),
    "NewMachine": _body(
        "machines",
        {"fingerprint": _FINGERPRINT, "hostname": "build-7", "seats": 1},
        license=linked("licenses", _LICENSE),
    ),
    "PolicyBody": _body(
        "policies",
        {"name": "Yearly", "duration": 31_536_000, "floating": True, "maxMachines": 2},
        product=linked("products", _PRODUCT),
    ),
    "PolicyLink": {"data": {"type": "policies", "id": _POLICY}},
    "ProductBody": _body("products", {"name": "Editor", "code": "editor"}),
    "TokenBody": _body("tokens", {"name": "nightly build"}),
    "Usage": {"meta": {"increment": 3}},
    "Validate": {"meta": {"scope": {"fingerprint": _FINGERPRINT}}},
    "ValidateMany": {
        "meta": {
            "checks": [
                {"key": _KEY, "scope": {"fingerprint": _FINGERPRINT}},
                {"id": _LICENSE},
                {"key": "nobody's"},
            ]
        }
    },
    "ValidateKey": {"meta": {"key": _KEY, "scope": {"fingerprint": _FINGERPRINT}}},
}
"""Of requests, by the name of the body's schema."""


def answers() -> dict[str, Any]:
    """Give examples of answers that are no errors, by the name of their schema."""
    resources = _resources()
    one = {f"{name}Document": document(resource) for name, resource in resources.items()}
    links = Listing(page=Page(size=10, cursor=""), filters={}, query=()).links(
        f"/v1/accounts/{_ACCOUNT}/licenses", last_id=_LICENSE, more=True, count=None
    )
    many = {f"{name}List": list_document([each], links) for name, each in resources.items()}
    more = {
        "CheckDocument": _check(resources["License"], _ASKED),
        "ManyChecksDocument": _many_checks(),
        "PendingDocument": document(_command(None)),
        "QuickCheckDocument": _check(resources["License"], None),
        "Me": document_with(resources["Account"], [resources["Token"]]),
        "LicenseEntitlements": _attached("license", linked("licenses", _LICENSE)),
        "PolicyEntitlements": _attached("policy", linked("policies", _POLICY)),
    }
    rendered = {**one, **many, **more}
    return {name: msgspec.json.decode(content) for name, content in rendered.items()}


def errors() -> dict[str, Any]:
    """Give an example of an error by its status."""
    headers = {"Retry-After": "12"}
    path = "/data/attributes/maxMachines"
    problems = (
        malformed(
            "JSON_INVALID",
            "The body is not well-formed JSON in UTF-8: correct it.",
            {"pointer": ""},
        ),
        unauthorized("TOKEN_INVALID", "The token is not known here: make a new one."),
        Problem(
            HTTPStatus.FORBIDDEN,
            "ROLE_NOT_ALLOWED",
            "This needs a credential of the role admin or root; yours has the role product. "
            "Ask with another one.",
            source={"header": "Authorization"},
        ),
        not_found("license"),
        Problem(408, "BODY_TIMEOUT", "The body did not arrive in time. Send it again."),
        Problem(413, "BODY_TOO_LARGE", "A body has at most 65536 bytes: send less."),
        unprocessable(
            "VALUE_OUT_OF_RANGE", "maxMachines is a whole number from 1 to 2147483647.", path
        ),
        over_limit("Who has this credential has asked too often. Wait 12 s.", headers),
        Problem(431, "HEADERS_TOO_LARGE", "Path and headers have at most 16384 bytes together."),
        broken(),
        unavailable("The ledger's log does not answer. Nothing was written. Repeat later."),
    )
    return {
        str(problem.status): msgspec.json.decode(problem.document(_REQUEST)) for problem in problems
    }


def _resources() -> dict[str, bytes]:
    stored: dict[str, Any] = {
        "account": _ACCOUNT,
        "created_ms": _NOW_MS,
        "changed_ms": _NOW_MS,
        "offset": 7,
    }
    token = Token(id=_TOKEN, role="admin", bearer=_ACCOUNT, digest="", name="console", **stored)
    policy = Policy(id=_POLICY, product=_PRODUCT, name="Yearly", terms=_TERMS, **stored)
    return {
        "Account": entity_resource(Account(id=_ACCOUNT, slug="acme", name="ACME", **stored)),
        "Command": _command(_VERDICT),
        "Entitlement": entity_resource(
            Entitlement(id=_ENTITLEMENT, name="Export", code="EXPORT", **stored)
        ),
        "License": _license(),
        "Machine": _machine(),
        "Policy": entity_resource(policy),
        "Product": entity_resource(Product(id=_PRODUCT, name="Editor", code="editor", **stored)),
        "Progress": progress_resource(policy, licenses=1200, behind=340),
        "Token": entity_resource(token, secret="admin-…"),  # noqa: S106 - shows none
    }


def _license() -> bytes:
    license_ = License(
        id=_LICENSE,
        status="live",
        epoch=1,
        account=_ACCOUNT,
        product=_PRODUCT,
        policy=_POLICY,
        name="ACME",
        metadata='{"order":4711}',
        terms=_TERMS,
        issued_ms=_NOW_MS,
        changed_ms=_NOW_MS,
        expiry_ms=_NOW_MS + 31_536_000_000,
        limit=2,
    )
    answer = read_answer(license_document(license_))
    return license_resource(answer, license_, key=_KEY, now_ms=_NOW_MS, validated=True)


def _machine() -> bytes:
    known = MachineRequest(license=_LICENSE, fingerprint=_FINGERPRINT, hostname="build-7")
    return machine_resource(
        known, _MACHINE, account=_ACCOUNT, product=_PRODUCT, activated_ms=_NOW_MS
    )


_ASKED: Final = ValidateKeyMeta(key=_KEY, nonce=12, scope=ScopeBody(fingerprint=_FINGERPRINT))


_SAID: Final = Said(position=f"{_ACCOUNT}:3.41", age_ms=18, source="REPLICA_A")


def _check(license_: bytes, asked: ValidateKeyMeta | None) -> bytes:
    return check_document(checks.VALID, license_, asked=asked, now_ms=_NOW_MS, said=_SAID)


def _many_checks() -> bytes:
    said = _SAID.members()
    entries = [
        one_of_many(checks.VALID, License(id=_LICENSE), said),
        one_of_many(checks.NOT_FOUND, None, said),
        UNTOLD_ENTRY,
    ]
    return checks_document(entries, _NOW_MS)


_COMMAND: Final = Command(
    license=_LICENSE,
    id="5f1c3a52-6d0b-8e0c-9a54-2f3a8c1d7e08",
    offset=41,
    content="9f86d081884c7d65",
)
_VERDICT: Final = Verdict(
    code=GRANTED,
    offset=_COMMAND.offset,
    time_ms=_NOW_MS,
    content_digest=_COMMAND.content,
    seats_held=1,
    limit=2,
    epoch=1,
    machine=_MACHINE,
)


def _command(verdict: Verdict | None) -> bytes:
    path = command_path(_ACCOUNT, _ACCOUNT, 3, _COMMAND)
    position = f"{_ACCOUNT}:3.{_COMMAND.offset}"
    return command_resource(
        _COMMAND, account=_ACCOUNT, path=path, position=position, verdict=verdict
    )


def _attached(to: str, linkage: dict[str, object]) -> bytes:
    moment = rfc3339(_NOW_MS)
    attachment = {
        "id": _TOKEN,
        "type": f"{to}-entitlements",
        "attributes": {"created": moment, "updated": moment},
        "relationships": {
            "account": linked("accounts", _ACCOUNT),
            to: linkage,
            "entitlement": linked("entitlements", _ENTITLEMENT),
        },
    }
    return msgspec.json.encode({"data": [attachment]})
