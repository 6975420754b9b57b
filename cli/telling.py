"""What became of the events of the log: told by folding one license, or by asking a replica.

Folding tells every verdict, and needs the license's partition from its beginning. A replica
remembers the commands of the last 24 hours and the last 64 of a license; of older ones, and of
imported events, nobody but a fold can tell, and it isn't guessed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from cli.history import Entry, History, why
from cli.replica import Command, Remembered, Replicas
from ledger.domain import verdicts
from ledger.domain.events import Event, Issued
from ledger.domain.verdicts import Verdict
from ledger.event_log import genesis
from ledger.event_log.codec import UndecodableError, UnknownRulesError, decode
from ledger.event_log.port import Record

FOLDED_S: Final = 1.0
"""How long a replica is waited for that has not folded an event yet."""
_AWAY_S: Final = 5.0
_NAMES_MAX: Final = 10_000


class Told(Struct, frozen=True, kw_only=True):
    """A record and what is known of it. `entry.verdict` None: nobody here can tell."""

    partition: int
    license: str
    name: str | None
    entry: Entry
    why: str


class Teller(Protocol):
    """Tells of records, in their order."""

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """Return what is known of the records of licenses; others are left out."""
        ...


class Folding:
    """Tells of one license by folding it: give it all records of its partition, from the first."""

    def __init__(self, license_: str) -> None:
        self._license = license_
        self._history = History(license_, last=1)

    async def tell(self, records: Sequence[Record]) -> list[Told]:
        """See `Teller`. Raises `UnknownRulesError`."""
        told = []
        for record in records:
            self._history.take([record])
            if record.key == self._license.encode():
                entry, license_ = self._history.entries[-1], self._history.license
                told.append(
                    Told(
                        partition=record.partition,
                        license=self._license,
                        name=None if license_ is None else license_.name,
                        entry=entry,
                        why=why(entry),
                    )
                )
        return told


class Asking:
    """Tells of all licenses by asking the replicas; `say` hears when none answers."""

    def __init__(self, replicas: Replicas, say: Callable[[str], None]) -> None:
        self._replicas = replicas
        self._say = say
        self._away_until = 0.0
        self._names: dict[str, str | None] = {}

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
        license_ = (record.key or b"").decode(errors="replace")
        verdict = None
        if event is not None:
            verdict = _verdict(event, record.offset, remembered)
            self._learn(event, remembered)
        entry = Entry(
            offset=record.offset, timestamp_ms=record.timestamp_ms, event=event, verdict=verdict
        )
        return Told(
            partition=record.partition,
            license=license_,
            name=self._names.get(license_),
            entry=entry,
            why=trouble if verdict is None else why(entry),
        )

    def _learn(self, event: Event, remembered: Remembered | None) -> None:
        """Know the license's name: its replica's word, else the event's that issued it."""
        if len(self._names) >= _NAMES_MAX:
            self._names.clear()
        if remembered is not None and remembered.license is not None:
            self._names[event.license] = remembered.license.name
        elif isinstance(event.data, Issued):
            self._names[event.license] = event.data.name


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
