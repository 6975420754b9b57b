"""The codec: an event of a license to the record's bytes, and back.

CloudEvents 1.0 structured JSON, keys sorted, record key = license id (docs/format.md,
"Envelope"). Bytes that do not decode are poison; an unknown rules version stops the partition.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ledger.domain import events
from ledger.domain.clocks import from_rfc3339, rfc3339
from ledger.domain.events import Event

T = TypeVar("T")

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
_TIME_LENGTH: Final = len("2019-11-05T08:00:00.000Z")


class UndecodableError(Exception):
    """The record's bytes are no event of rules version 1; its text names no value of theirs."""


class UnknownRulesError(Exception):
    """The record asks for a rules version that this software does not know."""

    def __init__(self, rules: int) -> None:
        super().__init__(
            f"rules version {rules} is unknown here (known: {events.RULES_VERSION}); "
            "upgrade this process"
        )
        self.rules = rules


class _Envelope(Struct, kw_only=True, forbid_unknown_fields=True):
    specversion: str
    id: events.Id
    source: events.Word
    type: str
    subject: events.Id
    time: str
    rules: int
    actor: events.Word
    contentdigest: events.Digest
    data: Raw
    datacontenttype: str = "application/json"
    policyversion: events.Version | UnsetType = UNSET
    sequence: events.Sequence | UnsetType = UNSET
    sourcedigest: events.Digest | UnsetType = UNSET
    occurredat: str | UnsetType = UNSET


class _Rules(Struct):
    rules: int


_encoder: Final = msgspec.json.Encoder(order="sorted")
_envelopes: Final = msgspec.json.Decoder(_Envelope)
_rules: Final = msgspec.json.Decoder(_Rules)
_datas: Final = {name: msgspec.json.Decoder(data) for name, data in events.TYPES.items()}


class EventTooLargeError(ValueError):
    """The event has more bytes than the log takes."""


def encode(event: Event) -> bytes:
    """Bytes of the event's record value; raises `EventTooLargeError` above 64 KiB."""
    value = _encoder.encode(
        _Envelope(
            specversion="1.0",
            id=event.id,
            source=event.source,
            type=event.type,
            subject=event.license,
            time=rfc3339(event.time_ms),
            rules=event.rules,
            actor=event.actor,
            contentdigest=event.content_digest,
            data=Raw(_encoder.encode(event.data)),
            policyversion=_or_unset(event.policy_version),
            sequence=_or_unset(event.sequence),
            sourcedigest=_or_unset(event.source_digest),
            occurredat=UNSET if event.occurred_at_ms is None else rfc3339(event.occurred_at_ms),
        )
    )
    if len(value) > events.EVENT_BYTES_MAX:
        msg = f"an event has at most {events.EVENT_BYTES_MAX} bytes, this one {len(value)}"
        raise EventTooLargeError(msg)
    return value


def decode(key: bytes | None, value: bytes | None) -> Event:
    """Event of a record; raises `UnknownRulesError`, or `UndecodableError` for poison."""
    if value is None or len(value) > events.EVENT_BYTES_MAX:
        msg = "the record has no value, or one above 64 KiB"
        raise UndecodableError(msg)
    try:
        envelope = _envelopes.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _stop_at_unknown_rules(value)
        raise UndecodableError(_reason(error)) from None
    if envelope.rules != events.RULES_VERSION:
        raise UnknownRulesError(envelope.rules)
    if key != envelope.subject.encode():
        msg = "the record's key is not the event's subject"
        raise UndecodableError(msg)
    return _event(envelope)


def _event(envelope: _Envelope) -> Event:
    decoder = _datas.get(envelope.type)
    if decoder is None or envelope.specversion != "1.0":
        msg = "the event's type is none of rules version 1"
        raise UndecodableError(msg)
    occurred = envelope.occurredat
    try:
        data = decoder.decode(envelope.data)
        _check_metadata(data)
        return Event(
            id=envelope.id,
            source=envelope.source,
            license=envelope.subject,
            time_ms=_time_ms(envelope.time),
            actor=envelope.actor,
            content_digest=envelope.contentdigest,
            data=data,
            rules=envelope.rules,
            policy_version=_or_none(envelope.policyversion),
            sequence=_or_none(envelope.sequence),
            source_digest=_or_none(envelope.sourcedigest),
            occurred_at_ms=None if occurred is UNSET else _time_ms(occurred),
        )
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise UndecodableError(_reason(error)) from None


def _check_metadata(data: events.EventData) -> None:
    """Metadata is one line of JSON object text: answers splice it in as it is."""
    metadata = getattr(data, "metadata", None)
    if metadata is None:
        return
    if "\n" in metadata or "\r" in metadata:
        msg = "metadata is one line"
        raise ValueError(msg)
    msgspec.json.decode(metadata, type=dict[str, object])


def _stop_at_unknown_rules(value: bytes) -> None:
    """An envelope of later rules may have fields that these do not know: not poison, but later."""
    try:
        rules = _rules.decode(value).rules
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if rules != events.RULES_VERSION:
        raise UnknownRulesError(rules)


def _time_ms(text: str) -> int:
    """Read the log's one form of time, so that every Python version takes and refuses the same."""
    if len(text) != _TIME_LENGTH or text[19] != "." or text[-1] != "Z":
        msg = "a time is not of the form 2019-11-05T08:00:00.000Z"
        raise ValueError(msg)
    return from_rfc3339(text)


def _reason(error: Exception) -> str:
    """Say where it is wrong, never the value: msgspec's text may quote it, its path does not."""
    if not isinstance(error, msgspec.ValidationError):
        return "the record's value is not well-formed"
    _, at, path = str(error).rpartition(" - at ")
    return f"not as the schema has it at {path}" if at else "not as the schema has it"


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _or_none(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value
