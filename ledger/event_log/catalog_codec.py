"""The catalog's codec: an event to the record's bytes, and back (docs/format.md, "Catalog").

As strict as the licenses' (`ledger.event_log.codec`), whose errors it raises. The record's key is
the account, which the envelope names beside the subject.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import asdict

from ledger.domain import events
from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import (
    CATALOG_RULES,
    CATALOG_TYPES,
    AccountChanged,
    AccountCreated,
    CatalogData,
    CatalogEvent,
    PolicyEntitlementsDetached,
    RecordDiscarded,
    RulesActivated,
)
from ledger.domain.clocks import from_rfc3339, rfc3339
from ledger.domain.terms import Terms
from ledger.event_log.codec import (
    UNREADABLE,
    Time,
    UndecodableError,
    check_metadata,
    check_size,
    reason,
    stop_at_unknown_rules,
)


class _Envelope(Struct, kw_only=True, forbid_unknown_fields=True):
    specversion: Literal["1.0"]
    id: events.Id
    source: events.Word
    type: str
    account: events.Id
    subject: events.Id
    time: Time
    rules: events.Rules
    actor: events.Word
    contentdigest: events.Digest
    data: Raw
    datacontenttype: Literal["application/json"] = "application/json"


_encoder: Final = msgspec.json.Encoder(order="sorted")
_envelopes: Final = msgspec.json.Decoder(_Envelope)
_datas: Final = {name: msgspec.json.Decoder(data) for name, data in CATALOG_TYPES.items()}
_FIELDS: Final = {
    name
    for struct in (_Envelope, *CATALOG_TYPES.values(), Terms)
    for name in struct.__struct_fields__
}


def encode_catalog(event: CatalogEvent) -> bytes:
    """Bytes of the event's record value; its key is the account.

    Raises `EventTooLargeError` above 64 KiB, and what `decode_catalog` raises: poison would stop
    the catalog for everybody.
    """
    value = _encoder.encode(
        _Envelope(
            specversion="1.0",
            id=event.id,
            source=event.source,
            type=event.type,
            account=event.account,
            subject=event.subject,
            time=rfc3339(event.time_ms),
            rules=event.rules,
            actor=event.actor,
            contentdigest=event.content_digest,
            data=Raw(_encoder.encode(event.data)),
        )
    )
    check_size(value)
    decode_catalog(event.account.encode(), value)
    return value


def decode_catalog(key: bytes | None, value: bytes | None) -> CatalogEvent:
    """Event of a record; raises `UnknownRulesError`, or `UndecodableError` for poison."""
    if value is None or len(value) > events.EVENT_BYTES_MAX:
        msg = "the record has no value, or one above 64 KiB"
        raise UndecodableError(msg)
    try:
        envelope = _envelopes.decode(value)
    except UNREADABLE as error:
        stop_at_unknown_rules(value, CATALOG_RULES)
        raise UndecodableError(reason(error, _FIELDS)) from None
    if envelope.rules != CATALOG_RULES:
        stop_at_unknown_rules(value, CATALOG_RULES)
        msg = "a record of later rules is nested at most 32 deep"
        raise UndecodableError(msg)
    if key != envelope.account.encode():
        msg = "the record's key is not the event's account"
        raise UndecodableError(msg)
    return _event(envelope)


def _event(envelope: _Envelope) -> CatalogEvent:
    decoder = _datas.get(envelope.type)
    if decoder is None:
        msg = "the event's type is none of the catalog's"
        raise UndecodableError(msg)
    try:
        data: CatalogData = decoder.decode(envelope.data)
        _check_subject(data, envelope)
        check_metadata(data)
        _check_change(data, envelope.type)
        return CatalogEvent(
            id=envelope.id,
            source=envelope.source,
            account=envelope.account,
            subject=envelope.subject,
            time_ms=from_rfc3339(envelope.time),
            actor=envelope.actor,
            content_digest=envelope.contentdigest,
            data=data,
            rules=envelope.rules,
        )
    except UNREADABLE as error:
        raise UndecodableError(reason(error, _FIELDS)) from None


def _check_change(data: CatalogData, type_: str) -> None:
    """A change changes something, and names it once."""
    detached = data.entitlements if isinstance(data, PolicyEntitlementsDetached) else []
    if len(set(detached)) < len(detached):
        msg = "an entitlement is named twice"
        raise ValueError(msg)
    if type_.endswith("-changed") and all(value is UNSET for value in asdict(data).values()):
        msg = "a change names nothing"
        raise ValueError(msg)


def _check_subject(data: CatalogData, envelope: _Envelope) -> None:
    """An account is its own; what is the whole ledger's is no account's, and the rules are one."""
    of_the_ledger = isinstance(data, RulesActivated | RecordDiscarded)
    if of_the_ledger != (envelope.account == RULES_ID):
        msg = "the account is not one that has such entities"
        raise ValueError(msg)
    own = isinstance(data, AccountCreated | AccountChanged | RulesActivated)
    if own != (envelope.subject == envelope.account):
        msg = "the subject is not one of such an event"
        raise ValueError(msg)
    if not own and envelope.subject == RULES_ID:
        msg = "only rules are the whole ledger's"
        raise ValueError(msg)
