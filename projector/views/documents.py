"""Documents: what a replica stores for a license, a machine, a verdict; pure and deterministic.

A license's document is three lines: its complete state, then the head and the tail of the
ready-made answer. What changes with the moment or the caller (`volatile`: key, status) goes
between them: `head + b',"key":…,"status":…' + tail` is the license resource of the API.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ledger.domain.clocks import rfc3339
from ledger.domain.license import License, Machine
from ledger.domain.terms import max_machines
from ledger.domain.verdicts import Verdict

_encoder: Final = msgspec.json.Encoder(order="sorted")
_licenses: Final = msgspec.json.Decoder(License)
_machines: Final = msgspec.json.Decoder(Machine)
_verdicts: Final = msgspec.json.Decoder(Verdict)


class Head(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a partition of a replica is.

    `position`: the next offset to fold. `timestamp_ms`, `elapsed_ms`: the partition's clock.
    `level_at_ms`: when, on the replica's own clock, it last had folded to the log's end (0:
    never). `chain`: running hash over all records, the log's fingerprint up to here.
    """

    position: int = 0
    timestamp_ms: int | None = None
    elapsed_ms: int = 0
    level_at_ms: int = 0
    chain: str = ""


_heads: Final = msgspec.json.Decoder(Head)


def head_document(head: Head) -> bytes:
    """Stored form of a partition's head."""
    return _encoder.encode(head)


def read_head(document: bytes) -> Head:
    """Head of its stored form."""
    return _heads.decode(document)


def license_document(license_: License) -> bytes:
    """Stored form of a license: state, head and tail of the answer, a line each."""
    head, tail = _answer(license_) if license_.status == "live" else (b"", b"")
    return b"\n".join((_encoder.encode(license_), head, tail))


def read_license(document: bytes) -> License:
    """State of a license's stored form."""
    return _licenses.decode(document[: document.index(b"\n")])


def read_answer(document: bytes) -> tuple[bytes, bytes]:
    """Head and tail of the ready-made answer; both empty where the license is not live."""
    _, head, tail = document.split(b"\n")
    return head, tail


def machine_document(machine: Machine) -> bytes:
    """Stored form of a machine."""
    return _encoder.encode(machine)


def read_machine(document: bytes) -> Machine:
    """Machine of its stored form."""
    return _machines.decode(document)


def verdict_document(verdict: Verdict) -> bytes:
    """Stored form of a remembered verdict."""
    return _encoder.encode(verdict)


def read_verdict(document: bytes) -> Verdict:
    """Verdict of its stored form."""
    return _verdicts.decode(document)


def _answer(license_: License) -> tuple[bytes, bytes]:
    terms = license_.terms
    assert terms is not None  # noqa: S101 - a live license was issued with terms
    self_path = f"/v1/accounts/{license_.account}/licenses/{license_.id}"
    attributes = {
        "created": rfc3339(license_.issued_ms),
        "updated": rfc3339(license_.changed_ms),
        "name": license_.name,
        "expiry": None if license_.expiry_ms is None else rfc3339(license_.expiry_ms),
        "suspended": license_.suspended,
        "strict": terms.strict,
        "floating": terms.floating,
        "protected": False,
        "encrypted": False,
        "scheme": None,
        "uses": 0,
        "maxUses": None,
        "maxMachines": max_machines(terms, license_.own),
        "maxCores": None,
        "maxProcesses": None,
        "maxUsers": None,
        "requireHeartbeat": False,
        "requireCheckIn": False,
        "metadata": msgspec.Raw((license_.metadata or "{}").encode()),
        "seats": {
            "used": license_.seats_held,
            "limit": license_.limit,
            "peak": license_.seats_peak,
            "peakPosition": license_.seats_peak_offset,
        },
        "refusals": license_.refusals,
    }
    head = {"id": license_.id, "type": "licenses"}
    relationships = {
        "account": _linkage("accounts", license_.account),
        "product": _linkage("products", license_.product),
        "policy": _linkage("policies", license_.policy),
        "machines": {
            "links": {"related": f"{self_path}/machines"},
            "meta": {"count": license_.machines},
        },
    }
    tail = {"relationships": relationships, "links": {"self": self_path}}
    opened = _encoder.encode(head)[:-1] + b',"attributes":' + _encoder.encode(attributes)[:-1]
    return opened, b"}," + _encoder.encode(tail)[1:]


def _linkage(type_: str, id_: str) -> dict[str, object]:
    return {"data": {"type": type_, "id": id_}}
