"""What the ledger is told of emergency orders afterwards: who took which, and what it answered.

Entries of `incident-events` (docs/format.md, "Emergency orders"). Nothing is folded from them and
no check rests on them: they are for whoever asks later what was approved.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from ledger.domain.clocks import from_rfc3339, rfc3339
from ledger.domain.events import Word
from ledger.domain.terms import Id, TimeMs
from ledger.emergency.orders import Signed

SOURCE: Final = "api"
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
KeyName = Annotated[str, Meta(min_length=1, max_length=64)]


class OrderTaken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A worker has taken an order: signed by the key of this name, and with so much time left.

    `order` is the signed document, so that whoever has the public key can verify it later.
    """

    worker: Word
    key: KeyName
    way: Literal["FILE", "POST"]
    left_s: Count
    order: Signed


class OrderOver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order runs no more at a worker: why, and how many checks it has answered there.

    `known`: of licenses that were read; `unknown`: of keys that nothing was known of. `end`: the
    signed order that ended it, where one did.
    """

    worker: Word
    account: Id
    why: Literal["ENDED", "TIME", "STOPPED"]
    known: Count
    unknown: Count
    end: Signed | None = None


Data = OrderTaken | OrderOver
ENTRY_TYPES: Final[dict[str, type[Data]]] = {
    "incident.order-taken": OrderTaken,
    "incident.order-over": OrderOver,
}


class Entry(Struct, frozen=True, kw_only=True):
    """An entry: `id` tells a repetition from another one, `order` is whose it is."""

    id: Id
    order: Id
    time_ms: TimeMs
    data: Data


class UndecodableEntryError(Exception):
    """A record is no entry that is known here."""


class _Envelope(Struct, kw_only=True, forbid_unknown_fields=True):
    specversion: Literal["1.0"]
    id: Id
    source: Word
    type: str
    subject: Id
    time: str
    data: Raw
    datacontenttype: Literal["application/json"] = "application/json"


_NAMES: Final = {data: name for name, data in ENTRY_TYPES.items()}
_encoder: Final = msgspec.json.Encoder(order="sorted")
_envelopes: Final = msgspec.json.Decoder(_Envelope)
_datas: Final = {name: msgspec.json.Decoder(data) for name, data in ENTRY_TYPES.items()}


def encode_entry(entry: Entry) -> bytes:
    """Bytes of the entry's record value; its key is the order's id."""
    return _encoder.encode(
        _Envelope(
            specversion="1.0",
            id=entry.id,
            source=SOURCE,
            type=_NAMES[type(entry.data)],
            subject=entry.order,
            time=rfc3339(entry.time_ms),
            data=Raw(_encoder.encode(entry.data)),
        )
    )


def decode_entry(key: bytes | None, value: bytes | None) -> Entry:
    """Entry of a record; raises `UndecodableEntryError`."""
    try:
        envelope = _envelopes.decode(value or b"")
        decoder = _datas[envelope.type]
        data: Data = decoder.decode(envelope.data)
        time_ms = from_rfc3339(envelope.time)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, ValueError):
        raise UndecodableEntryError("the record is no entry that is known here") from None
    if key != envelope.subject.encode():
        raise UndecodableEntryError("the record's key is not the entry's order")
    return Entry(id=envelope.id, order=envelope.subject, time_ms=time_ms, data=data)
