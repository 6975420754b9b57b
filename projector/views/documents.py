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


class _Seats(Struct, frozen=True, kw_only=True):
    limit: int | None
    peak: int
    peakPosition: int  # noqa: N815 - the API's name
    used: int


class _Attributes(Struct, frozen=True, kw_only=True, rename="camel"):
    """Attributes of the answer, in the order of their names: rendered as they stand here."""

    created: str
    encrypted: bool = False
    expiry: str | None
    floating: bool
    max_cores: None = None
    max_machines: int | None
    max_processes: None = None
    max_users: None = None
    max_uses: None = None
    metadata: msgspec.Raw
    name: str | None
    protected: bool = False
    refusals: dict[str, int]
    require_check_in: bool = False
    require_heartbeat: bool = False
    scheme: None = None
    seats: _Seats
    strict: bool
    suspended: bool
    updated: str
    uses: int = 0


_HEAD: Final = b'{"id":%b,"type":"licenses","attributes":%b'
_LINKAGE: Final = b'{"data":{"id":%b,"type":"%b"}}'
_TAIL: Final = (
    b'},"links":{"self":"%b"},"relationships":{"account":%b,"machines":'
    b'{"links":{"related":"%b/machines"},"meta":{"count":%d}},"policy":%b,"product":%b}}'
)


def _answer(license_: License) -> tuple[bytes, bytes]:
    encode = _encoder.encode
    head = _HEAD % (encode(license_.id), encode(_attributes(license_))[:-1])
    account = encode(license_.account)
    self_path = b"/v1/accounts/%b/licenses/%b" % (account[1:-1], encode(license_.id)[1:-1])
    tail = _TAIL % (
        self_path,
        _LINKAGE % (account, b"accounts"),
        self_path,
        license_.machines,
        _LINKAGE % (encode(license_.policy), b"policies"),
        _LINKAGE % (encode(license_.product), b"products"),
    )
    return head, tail


def _attributes(license_: License) -> _Attributes:
    terms = license_.terms
    assert terms is not None  # noqa: S101 - a live license was issued with terms
    return _Attributes(
        created=rfc3339(license_.issued_ms),
        expiry=None if license_.expiry_ms is None else rfc3339(license_.expiry_ms),
        floating=terms.floating,
        max_machines=max_machines(terms, license_.own),
        metadata=msgspec.Raw((license_.metadata or "{}").encode()),
        name=license_.name,
        refusals=license_.refusals,
        seats=_Seats(
            limit=license_.limit,
            peak=license_.seats_peak,
            peakPosition=license_.seats_peak_offset,
            used=license_.seats_held,
        ),
        strict=terms.strict,
        suspended=license_.suspended,
        updated=rfc3339(license_.changed_ms),
    )
