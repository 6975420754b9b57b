"""The codec: an event of a license to the record's bytes, and back.

CloudEvents 1.0 structured JSON, keys sorted, record key = license id (docs/format.md,
"Envelope"). Bytes that do not decode are poison; an unknown rules version stops the partition.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from ledger.domain import events, rules1
from ledger.domain.catalog.entities import FIRST_RULES
from ledger.domain.clocks import from_log_time, rfc3339
from ledger.domain.events import Event
from ledger.domain.terms import OwnTerms, Terms
from ledger.event_log.soundness import check_sound

T = TypeVar("T")

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
DEPTH_MAX: Final = 32
"""Of metadata, and of a record of later rules: the stack of a process must not decide."""
_ID_LENGTH: Final = 36
_DIGEST_LENGTH: Final = 32
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_PATH: Final = re.compile(r" - at `\$\.([a-z_.]+)`$")
_TIME_PATTERN: Final = (
    r"^(19[7-9][0-9]|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$"
)
Time = Annotated[str, Meta(max_length=24, pattern=_TIME_PATTERN)]
"""The log's one form of time, so that every Python version takes and refuses the same."""


class UndecodableError(Exception):
    """The record's bytes are no event of the rules they name; its text names no value of theirs."""


class UnknownRulesError(Exception):
    """The record asks for a rules version that this software does not know."""

    def __init__(self, rules: int, known: int = events.RULES_VERSION) -> None:
        super().__init__(
            f"rules version {rules} is unknown here (known: {known}); upgrade this process"
        )
        self.rules = rules


class _Shape(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The envelope but for its patterns: matching them takes four times as long as all the rest."""

    specversion: Literal["1.0"]
    id: str
    source: events.Word
    type: str
    subject: str
    time: str
    rules: events.Rules
    actor: events.Word
    contentdigest: str
    data: Any
    datacontenttype: Literal["application/json"] = "application/json"
    policyversion: events.Version | UnsetType = UNSET
    sequence: events.Sequence | UnsetType = UNSET
    sourcedigest: str | UnsetType = UNSET
    occurredat: str | UnsetType = UNSET


class _Envelope(_Shape, kw_only=True, forbid_unknown_fields=True):
    id: events.Id
    subject: events.Id
    time: Time
    contentdigest: events.Digest
    data: Raw
    sourcedigest: events.Digest | UnsetType = UNSET
    occurredat: Time | UnsetType = UNSET


class _Rules(Struct):
    rules: events.Rules


def _reader_of(name: str, data: type[Struct]) -> Callable[[bytes], Any]:
    """Reads records of one type, under all rules that read it alike; gives a `_Shape`."""
    rules = [one for one, types in _TYPES.items() if types.get(name) is data]
    shape = msgspec.defstruct(
        "_Typed",
        [("type", Literal[name]), ("data", data), ("rules", Literal[tuple(rules)])],
        bases=(_Shape,),
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(shape).decode


_Wire = rules1.Issued | rules1.TermsChanged | events.EventData
"""What a record's data is read as."""
_EARLIER: Final = (rules1.Issued, rules1.TermsChanged)
_encoder: Final = msgspec.json.Encoder(order="sorted")
_envelopes: Final = msgspec.json.Decoder(_Envelope)
_rules: Final = msgspec.json.Decoder(_Rules)
_metadatas: Final = msgspec.json.Decoder(dict[str, Raw])
_TYPES: Final[dict[int, Mapping[str, type[_Wire]]]] = {1: rules1.TYPES, 2: events.TYPES}
_datas: Final[dict[tuple[int, str], msgspec.json.Decoder[_Wire]]] = {
    (rules, name): msgspec.json.Decoder(data)
    for rules, types in _TYPES.items()
    for name, data in types.items()
}
_readers: Final[dict[bytes, Callable[[bytes], Any]]] = {
    b'"%b"}' % name.encode(): _reader_of(name, data) for name, data in events.TYPES.items()
}
"""By the end of a record as `encode` writes it, where the type comes last: whole records of it."""

_FIELDS: Final = {
    name
    for struct in (_Envelope, *events.TYPES.values(), Terms, OwnTerms)
    for name in struct.__struct_fields__
}
UNREADABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError)


class EventTooLargeError(ValueError):
    """The event has more bytes than the log takes."""


def check_size(value: bytes) -> None:
    """Raise `EventTooLargeError` for more bytes than an event may have."""
    if len(value) > events.EVENT_BYTES_MAX:
        msg = f"an event has at most {events.EVENT_BYTES_MAX} bytes, this one {len(value)}"
        raise EventTooLargeError(msg)


def encode(event: Event) -> bytes:
    """Bytes of the event's record value.

    Raises `EventTooLargeError` above 64 KiB, and what `decode` raises: no writer may append poison,
    which would freeze the license for everybody.
    """
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
    check_size(value)
    decode(event.license.encode(), value)
    return value


def decode(key: bytes | None, value: bytes | None, rules: int = FIRST_RULES) -> Event:
    """Event of a record; raises `UnknownRulesError`, or `UndecodableError` for poison.

    `rules`: one of earlier rules is read as if it asked for these (known here): the what-if of a
    rehearsal. No fold that is stored does so.
    """
    if value is None or len(value) > events.EVENT_BYTES_MAX:
        msg = "the record has no value, or one above 64 KiB"
        raise UndecodableError(msg)
    return _quickly(key, value, rules) or _strictly(key, value, rules)


def _quickly(key: bytes | None, value: bytes, rules: int) -> Event | None:
    """Event of a record as our own writers make it; None where that remains to be seen.

    It takes nothing that `_strictly` doesn't, which says what is wrong with all that it leaves.
    """
    reader = _readers.get(value[value.rfind(b'"', 0, -2) :])
    if reader is None:
        return None
    try:
        read = reader(value)
        if rules > read.rules or key != read.subject.encode() or not _has_its_patterns(read):
            return None
        return _event(read, read.data, read.rules)
    except UNREADABLE:
        return None


def _has_its_patterns(read: _Shape) -> bool:
    """Whether ids and digests are as `_Envelope` has them; times prove themselves when read."""
    id_, digest, ids = read.id, read.contentdigest, read.id + read.subject
    source = read.sourcedigest
    if source is UNSET:
        source = ""
    elif len(source) != _DIGEST_LENGTH:
        return False
    digits = ids.replace("-", "") + digest + source
    return (
        len(id_) == _ID_LENGTH
        and len(ids) == 2 * _ID_LENGTH
        and ids[8:24:5] == ids[44:60:5] == "----"
        and len(digest) == _DIGEST_LENGTH
        and len(digits) == 3 * _DIGEST_LENGTH + len(source)
        and unhexlify(digits).hex() == digits
    )


def _strictly(key: bytes | None, value: bytes, rules: int) -> Event:
    try:
        envelope = _envelopes.decode(value)
    except UNREADABLE as error:
        stop_at_unknown_rules(value, events.RULES_VERSION)
        raise UndecodableError(reason(error, _FIELDS)) from None
    if envelope.rules > events.RULES_VERSION:
        stop_at_unknown_rules(value, events.RULES_VERSION)
        msg = "a record of later rules is nested at most 32 deep"
        raise UndecodableError(msg)
    if key != envelope.subject.encode():
        msg = "the record's key is not the event's subject"
        raise UndecodableError(msg)
    rules = max(envelope.rules, rules)
    decoder = _datas.get((rules, envelope.type))
    if decoder is None:
        msg = "the event's type is none of its rules version"
        raise UndecodableError(msg)
    try:
        data = decoder.decode(envelope.data)
        return _event(envelope, data.now() if isinstance(data, _EARLIER) else data, rules)
    except UNREADABLE as error:
        raise UndecodableError(reason(error, _FIELDS)) from None


def _event(read: _Shape, data: events.EventData, rules: int) -> Event:
    version, sequence = read.policyversion, read.sequence
    digest, occurred = read.sourcedigest, read.occurredat
    policy_version = None if version is UNSET else version
    check_metadata(data)
    check_sound(data, read.subject, policy_version)
    return Event(
        id=read.id,
        source=read.source,
        license=read.subject,
        time_ms=from_log_time(read.time),
        actor=read.actor,
        content_digest=read.contentdigest,
        data=data,
        rules=rules,
        policy_version=policy_version,
        sequence=None if sequence is UNSET else sequence,
        source_digest=None if digest is UNSET else digest,
        occurred_at_ms=None if occurred is UNSET else from_log_time(occurred),
    )


def check_metadata(data: Struct) -> None:
    """Metadata is one line of JSON object text: answers splice it in as it is."""
    metadata = getattr(data, "metadata", None)
    if not isinstance(metadata, str):
        return
    if len(metadata.encode()) > events.METADATA_BYTES_MAX:
        msg = "metadata has at most 16 KiB"
        raise ValueError(msg)
    if "\n" in metadata or "\r" in metadata:
        msg = "metadata is one line"
        raise ValueError(msg)
    if _depth(metadata) > DEPTH_MAX:
        msg = "metadata is nested at most 32 deep"
        raise ValueError(msg)
    _metadatas.decode(metadata)


def _depth(json: str) -> int:
    """Count how deep JSON text is nested; few brackets are counted as if all were."""
    brackets = json.count("[") + json.count("{")
    if brackets <= DEPTH_MAX:
        return brackets
    depth = deepest = 0
    for bracket in _BRACKETS.findall(json):
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        deepest = max(deepest, depth)
    return deepest


def stop_at_unknown_rules(value: bytes, known: int) -> None:
    """An envelope of later rules may have fields that these do not know: not poison, but later.

    Raises `UnknownRulesError` where the record asks for other rules than those `known`.
    """
    try:
        rules = _rules.decode(value).rules
    except UNREADABLE:
        return
    if rules > known and _depth(value.decode("latin-1")) <= DEPTH_MAX:
        raise UnknownRulesError(rules, known)


def reason(error: Exception, fields: AbstractSet[str]) -> str:
    """Say where it is wrong, never the value: msgspec's text may quote a value, or end in one."""
    if not isinstance(error, msgspec.ValidationError):
        return "the record's value is not well-formed"
    path = _PATH.search(str(error))
    if path is None or not fields >= set(path[1].split(".")):
        return "not as the schema has it"
    return f"not as the schema has it at {path[1]}"


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
