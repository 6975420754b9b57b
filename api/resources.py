"""Resources as the contract has them, as bytes. A license's answer is spliced, not rendered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct

from api.bodies import ValidateKeyMeta, ValidateMeta
from api.checks import Answer
from api.requests import MachineRequest
from ledger.domain.clocks import rfc3339
from ledger.domain.license import License

_encoder: Final = msgspec.json.Encoder()

EXPIRING_MS: Final = 3 * 86_400 * 1000
"""A license that has less than this left is EXPIRING, no longer ACTIVE."""
HEARTBEAT_S: Final = 600
HIDDEN_KEY: Final = ""
"""In place of a key that was erased, or whose seal key is lost: clients need a string."""


_FROZEN: Final = b',"frozen":true'
UNTOLD_ENTRY: Final = (
    b'{"type":"validations","attributes":{"valid":null,"detail":"This can\'t be told now, which '
    b'says nothing about the license: repeat after a second.","code":"UNAVAILABLE","license":null,'
    b'"position":null,"ageMs":null,"source":null}}'
)
"""Entry of many checks that can't be told now."""
STATUSES: Final = ("ACTIVE", "EXPIRING", "EXPIRED", "SUSPENDED")


def status(license_: License, now_ms: int) -> str:
    """Status of a live license at `now_ms`, one of `STATUSES`, as the contract names it."""
    if license_.suspended:
        return "SUSPENDED"
    if license_.expiry_ms is None:
        return "ACTIVE"
    if license_.expired(now_ms):
        return "EXPIRED"
    return "EXPIRING" if license_.expiry_ms - now_ms <= EXPIRING_MS else "ACTIVE"


def license_resource(
    answer: tuple[bytes, bytes],
    license_: License,
    *,
    key: str,
    now_ms: int,
    validated: bool = False,
) -> bytes:
    """License resource: the ready-made answer and what changes with the moment or the caller."""
    head, tail = answer
    last_ms = now_ms if validated else license_.last_validated_ms
    last = b"null" if last_ms is None else b'"%b"' % rfc3339(last_ms).encode()
    return b'%b,"key":%b,"lastValidated":%b,"status":"%b"%b' % (
        head,
        _encoder.encode(key),
        last,
        status(license_, now_ms).encode(),
        tail,
    )


def document(resource: bytes) -> bytes:
    """Document of one resource."""
    return b'{"data":' + resource + b"}"


def document_with(resource: bytes, included: Sequence[bytes]) -> bytes:
    """Document of one resource and of others that it refers to."""
    return b'{"data":' + resource + b',"included":[' + b",".join(included) + b"]}"


class Said(Struct, frozen=True, kw_only=True):
    """From which state of the ledger a check was answered: where, how old, by whom.

    `frozen`: the license stands as it was before a record that could not be folded. `order`: the
    emergency order that approves it; then nothing may be known of the state: None.
    """

    position: str | None
    age_ms: int | None
    source: str
    frozen: bool = False
    order: str | None = None

    def members(self) -> bytes:
        """Members of an answer's meta."""
        if self.position is None or self.age_ms is None:
            known = b'"position":null,"ageMs":null'
        else:
            known = b'"position":"%b","ageMs":%d' % (self.position.encode(), self.age_ms)
        return b'%b,"source":"%b"%b%b' % (
            known,
            self.source.encode(),
            _FROZEN if self.frozen else b"",
            b"" if self.order is None else b',"order":"%b"' % self.order.encode(),
        )


def check_document(
    answer: Answer,
    resource: bytes | None,
    *,
    asked: ValidateMeta | ValidateKeyMeta | None,
    now_ms: int,
    said: Said,
) -> bytes:
    """Document of a check: what was found, with what was asked for, and who said so."""
    echoed = b""
    if asked is not None:
        echoed = b',"scope":' + _encoder.encode(asked.scope)
        if asked.nonce is not UNSET:
            echoed += b',"nonce":%d' % asked.nonce
    return b'{"meta":{"ts":"%b",%b%b,%b},"data":%b}' % (
        rfc3339(now_ms).encode(),
        _members(answer),
        echoed,
        said.members(),
        resource or b"null",
    )


def checks_document(entries: Sequence[bytes], now_ms: int) -> bytes:
    """Document of many checks, judged for the time `now_ms`."""
    return b'{"meta":{"ts":"%b"},"data":[%b]}' % (rfc3339(now_ms).encode(), b",".join(entries))


def one_of_many(answer: Answer, license_: License | None, said: bytes) -> bytes:
    """Entry of such a document; `said`: the members of its `Said`."""
    members = _members(answer)
    if license_ is None:
        return b'{"type":"validations","attributes":{%b,"license":null,%b}}' % (members, said)
    return b'{"type":"validations","attributes":{%b,"license":"%b",%b%b}}' % (
        members,
        license_.id.encode(),
        said,
        b"" if license_.frozen_at is None else _FROZEN,
    )


@lru_cache(maxsize=1024)
def _members(answer: Answer) -> bytes:
    """Members of an answer; there are few, but those that name a number of seats."""
    members = {"valid": answer.valid, "detail": answer.detail, "code": answer.code}
    return _encoder.encode(members)[1:-1]


def machine_resource(
    known: MachineRequest,
    machine: str,
    *,
    account: str,
    product: str,
    activated_ms: int,
    changed_ms: int | None = None,
) -> bytes:
    """Machine resource of what is known of it: as it was asked for, or as it stands now."""
    moment = rfc3339(activated_ms)
    attributes = {
        "fingerprint": known.fingerprint,
        "name": known.name,
        "ip": known.ip,
        "hostname": known.hostname,
        "platform": known.platform,
        "cores": known.cores,
        "memory": None,
        "disk": None,
        "seats": known.seats,
        "maxProcesses": None,
        "requireHeartbeat": False,
        "heartbeatStatus": "NOT_STARTED",
        "heartbeatDuration": HEARTBEAT_S,
        "lastHeartbeat": None,
        "nextHeartbeat": None,
        "lastCheckOut": None,
        "created": moment,
        "updated": moment if changed_ms is None else rfc3339(changed_ms),
        "metadata": Raw((known.metadata or "{}").encode()),
    }
    self_path = machine_path(account, machine)
    relationships = {
        "account": _linked("accounts", account),
        "product": _linked("products", product),
        "license": _linked("licenses", known.license),
        "owner": {"data": None},
        "group": {"data": None},
        "components": {"links": {"related": f"{self_path}/components"}},
        "processes": {"links": {"related": f"{self_path}/processes"}},
    }
    return _encoder.encode(
        {
            "id": machine,
            "type": "machines",
            "attributes": attributes,
            "relationships": relationships,
            "links": {"self": self_path},
        }
    )


def license_path(account: str, license_: str) -> str:
    """Where a license is found."""
    return f"/v1/accounts/{account}/licenses/{license_}"


def machine_path(account: str, machine: str) -> str:
    """Where a machine is found."""
    return f"/v1/accounts/{account}/machines/{machine}"


def _linked(type_: str, id_: str) -> dict[str, object]:
    return {"data": {"type": type_, "id": id_}}
