"""Documents: what a replica stores for a license, a machine, a verdict; pure and deterministic.

A license's document is three lines: its complete state, then the head and the tail of the
ready-made answer. What changes with the moment or the caller (`volatile`: key, status, last
validated) goes between them: `head + b',"key":…,"status":…' + tail` is the license resource of
the API.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw, Struct

from ledger.domain.clocks import rfc3339
from ledger.domain.license import License, Machine
from ledger.domain.spans import in_force, next_check_in_ms
from ledger.domain.terms import is_protected, max_machines, max_uses
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
    `before_last`: the chain before the last record, by which that one record is recognized; empty
    where an older release has folded it.
    """

    position: int = 0
    timestamp_ms: int | None = None
    elapsed_ms: int = 0
    level_at_ms: int = 0
    chain: str = ""
    before_last: str = ""


_heads: Final = msgspec.json.Decoder(Head)


def head_document(head: Head) -> bytes:
    """Stored form of a partition's head."""
    return _encoder.encode(head)


def read_head(document: bytes) -> Head:
    """Head of its stored form."""
    return _heads.decode(document)


def license_document(license_: License) -> bytes:
    """Stored form of a license: state, head and tail of the answer, a line each."""
    state = _encoder.encode(license_)
    if license_.status != "live":
        return state + b"\n\n"
    return b"%b\n%b" % (state, _answer(license_))


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


class _Attributes(Struct, frozen=True, kw_only=True, rename="camel"):
    """Attributes of the answer, in the order of their names: rendered as they stand here."""

    created: str
    encrypted: bool = False
    expiry: str | None
    floating: bool
    last_check_in: str | None
    max_cores: None = None
    max_machines: int | None
    max_processes: None = None
    max_users: None = None
    max_uses: int | None
    metadata: Raw
    name: str | None
    next_check_in: str | None
    protected: bool
    refusals: Raw
    require_check_in: bool
    require_heartbeat: bool = False
    scheme: None = None
    seats: Raw
    strict: bool
    suspended: bool
    updated: Raw
    uses: Raw


FRAMES_MAX: Final = 16_384
"""Licenses whose answer's frame is kept at hand: some 25 MB."""
# JSON text never holds a NUL: so these are told from whatever a license's name says.
_TEXT_SLOT: Final = b"\x00t"
_NUMBER_SLOT: Final = b"\x00n"
_HEAD: Final = b'{"id":%b,"type":"licenses","attributes":%b'
_SEATS: Final = b'{"limit":%b,"peak":\x00n,"peakPosition":\x00n,"used":\x00n}'
_LINKAGE: Final = b'{"data":{"id":%b,"type":"%b"}}'
_TAIL: Final = (
    b'},"links":{"self":"%b"},"relationships":{"account":%b,"machines":'
    b'{"links":{"related":"%b/machines"},"meta":{"count":\x00n}},"policy":%b,"product":%b}}'
)


def _answer(license_: License) -> bytes:
    """Head and tail, a line each: a frame that few events change, and what each event does."""
    terms, own = in_force(license_), license_.own
    frame = _frame(
        license_.id,
        license_.account,
        license_.product,
        license_.policy,
        license_.name,
        license_.metadata,
        terms.floating,
        terms.strict,
        terms.require_check_in,
        is_protected(terms, own),
        max_machines(terms, own),
        max_uses(terms, own),
        license_.issued_ms,
        license_.expiry_ms,
        license_.last_check_in_ms,
        next_check_in_ms(license_),
        license_.limit,
        license_.suspended,
    )
    refusals = license_.refusals
    return frame % (
        _encoder.encode(refusals) if refusals else b"{}",
        license_.seats_peak,
        license_.seats_peak_offset,
        license_.seats_held,
        rfc3339(license_.changed_ms).encode(),
        license_.uses,
        license_.machines,
    )


@lru_cache(maxsize=FRAMES_MAX)
def _frame(  # noqa: PLR0913, PLR0917 - all that an answer is made of, but for its numbers
    id_: str,
    account: str,
    product: str,
    policy: str,
    name: str | None,
    metadata: str | None,
    floating: bool,  # noqa: FBT001 - as it stands in the terms, and so are the next ones
    strict: bool,  # noqa: FBT001
    require_check_in: bool,  # noqa: FBT001
    protected: bool,  # noqa: FBT001
    machines_max: int | None,
    uses_max: int | None,
    issued_ms: int,
    expiry_ms: int | None,
    last_check_in_ms: int | None,
    next_check_in_ms: int | None,
    limit: int | None,
    suspended: bool,  # noqa: FBT001
) -> bytes:
    """Template with slots for refusals, peak, its offset, seats, changed, uses, and machines."""
    encode = _encoder.encode
    attributes = _Attributes(
        created=rfc3339(issued_ms),
        expiry=_moment(expiry_ms),
        floating=floating,
        last_check_in=_moment(last_check_in_ms),
        max_machines=machines_max,
        max_uses=uses_max,
        metadata=Raw((metadata or "{}").encode()),
        name=name,
        next_check_in=_moment(next_check_in_ms),
        protected=protected,
        refusals=Raw(_TEXT_SLOT),
        require_check_in=require_check_in,
        seats=Raw(_SEATS % encode(limit)),
        strict=strict,
        suspended=suspended,
        updated=Raw(b'"%b"' % _TEXT_SLOT),
        uses=Raw(_NUMBER_SLOT),
    )
    path = b"/v1/accounts/%b/licenses/%b" % (encode(account)[1:-1], encode(id_)[1:-1])
    tail = _TAIL % (
        path,
        _LINKAGE % (encode(account), b"accounts"),
        path,
        _LINKAGE % (encode(policy), b"policies"),
        _LINKAGE % (encode(product), b"products"),
    )
    head = _HEAD % (encode(id_), encode(attributes)[:-1])
    template = (head + b"\n" + tail).replace(b"%", b"%%")
    return template.replace(_TEXT_SLOT, b"%b").replace(_NUMBER_SLOT, b"%d")


def _moment(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(time_ms)
