"""What became of the events of licenses: told by folding one license, or by asking a replica.

Folding tells every verdict, and needs the license's partition from its beginning. A replica
remembers the commands of the last 24 hours and the last 64 of a license; of older ones, and of
imported events, nobody but a fold can tell, and it isn't guessed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec.structs import replace

from cli.history import Entry, History, why
from cli.replica import Command, Remembered, Replicas
from cli.tailing.told import Told
from ledger.domain import verdicts
from ledger.domain.clocks import rfc3339
from ledger.domain.events import Event, Issued
from ledger.domain.verdicts import Verdict
from ledger.event_log import genesis
from ledger.event_log.codec import UndecodableError, UnknownRulesError, decode
from ledger.event_log.port import Record, Topic

FOLDED_S: Final = 1.0
"""How long a replica is waited for that has not folded an event yet."""
_AWAY_S: Final = 5.0
_WHOSE_MAX: Final = 10_000


class Folding:
    """Tells of one license by folding it: give it all records of its partition, from the first.

    `discarded`: offsets there that are left out.
    """

    def __init__(self, license_: str, discarded: frozenset[int] = frozenset()) -> None:
        self._license = license_
        self._history = History(license_, last=1, discarded=discarded)

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """See `Teller`. Raises `UnknownRulesError`."""
        told = []
        for record in records:
            self._history.take([record])
            if record.key == self._license.encode():
                entry, license_ = self._history.entries[-1], self._history.license
                account, name = (None, None)
                if license_ is not None:
                    account, name = license_.account or None, license_.name
                told.append(_told(record, entry, account, name, why(entry)))
        return told


class Asking:
    """Tells of all licenses by asking the replicas; `say` hears when none answers."""

    def __init__(self, replicas: Replicas, say: Callable[[str], None]) -> None:
        self._replicas = replicas
        self._say = say
        self._away_until = 0.0
        self._whose: dict[str, tuple[str | None, str | None]] = {}

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """See `Teller`."""
        decoded = [(record, *_decoded(record)) for record in records if not _is_genesis(record)]
        events = [(record, event) for record, event, _ in decoded if event is not None]
        remembered = iter(await self._ask(events))
        return [
            self._told(record, event, trouble, None if event is None else next(remembered))
            for record, event, trouble in decoded
        ]

    async def _ask(self, events: Sequence[tuple[Record, Event]]) -> Sequence[Remembered | None]:
        unknown: list[None] = [None] * len(events)
        if not events or time.monotonic() < self._away_until:
            return unknown
        commands = [
            Command(
                license=event.license,
                command=event.id,
                partition=record.partition,
                offset=record.offset,
            )
            for record, event in events
        ]
        found = await self._replicas.remembered(commands, limit_s=FOLDED_S)
        if found is not None:
            self._away_until = 0.0
            return found
        if not self._away_until:
            self._say("no replica answers: verdicts and names can't be told (LEDGER_REPLICAS)")
        self._away_until = time.monotonic() + _AWAY_S
        return unknown

    def _told(
        self, record: Record, event: Event | None, trouble: str, remembered: Remembered | None
    ) -> Told:
        verdict = None
        if event is not None:
            verdict = _verdict(event, record.offset, remembered)
            self._learn(event, remembered)
        entry = Entry(
            offset=record.offset, timestamp_ms=record.timestamp_ms, event=event, verdict=verdict
        )
        account, name = self._whose.get(_subject(record), (None, None))
        return _told(record, entry, account, name, trouble if verdict is None else why(entry))

    def _learn(self, event: Event, remembered: Remembered | None) -> None:
        """Know the license's account and name: a replica's word, else that of its issue."""
        if len(self._whose) >= _WHOSE_MAX:
            self._whose.clear()
        if remembered is not None and remembered.license is not None:
            license_ = remembered.license
            self._whose[event.license] = (license_.account or None, license_.name)
        elif isinstance(event.data, Issued):
            self._whose[event.license] = (event.data.account, event.data.name)


def _subject(record: Record) -> str:
    return (record.key or b"").decode(errors="replace")


def _told(record: Record, entry: Entry, account: str | None, name: str | None, why_: str) -> Told:
    event, verdict, license_ = entry.event, entry.verdict, _subject(record)
    return Told(
        topic=Topic.LICENSE_EVENTS,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        subject=license_,
        license=license_,
        account=account,
        name=name,
        type=None if event is None else event.type,
        actor=None if event is None else event.actor,
        verdict=None if verdict is None else verdict.code,
        granted=verdict is not None and verdict.granted,
        why=why_,
        more=_more(event, verdict),
    )


def _more(event: Event | None, verdict: Verdict | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if event is not None:
        found = {"time": rfc3339(event.time_ms), "actor": event.actor, "id": event.id}
        for name in ("machine", "seats"):
            if (value := getattr(event.data, name, None)) is not None:
                found[name] = value
        if event.sequence is not None:
            found |= {"source": event.source, "sequence": event.sequence}
        if event.occurred_at_ms is not None:
            found["occurredAt"] = rfc3339(event.occurred_at_ms)
    if verdict is not None:
        found |= {"seatsHeld": verdict.seats_held, "limit": verdict.limit}
    return found


def _verdict(event: Event, offset: int, remembered: Remembered | None) -> Verdict | None:
    """Return the event's verdict from what is remembered of its command; None: can't be told."""
    if event.sequence is not None or remembered is None or not remembered.folded:
        return None
    first = remembered.verdict
    if first is None or first.offset > offset:
        return None
    if first.offset < offset and first.content_digest != event.content_digest:
        return replace(first, code=verdicts.IDEMPOTENCY_MISMATCH, offset=offset)
    return first


def _decoded(record: Record) -> tuple[Event | None, str]:
    try:
        return decode(record.key, record.value), ""
    except UndecodableError:
        return None, "the record can't be decoded: the license stays as it was before it"
    except UnknownRulesError as error:
        return None, str(error)


def _is_genesis(record: Record) -> bool:
    return record.key == genesis.RECORD_KEY
