"""A license's history, folded from the records of its partition; pure.

Its own records are folded as the projector does it; all others only move the partition's clock.
Positions, verdicts and seats are therefore the ones that every replica holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace as replace_entry
from itertools import islice
from typing import Final

from msgspec.structs import replace

from cli.wording import in_words
from ledger.domain import verdicts
from ledger.domain.clocks import CLOCKS_APART_REFUSE_MS, PartitionClock
from ledger.domain.events import Event
from ledger.domain.license import FORGOTTEN_MAX, License, Loaded, Machine, fold
from ledger.domain.verdicts import Remembered, Verdict
from ledger.event_log.codec import UndecodableError, decode
from ledger.event_log.port import Record

APART_MS: Final = CLOCKS_APART_REFUSE_MS
"""The sender's time and the record's timestamp further apart than this: the history says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of the license and what the fold made of it.

    `event` None: it can't be decoded. `verdict` None: it was set aside, unfolded; or it is
    `discarded`. `machine`: the one that it is about, as it stood before or after.
    """

    offset: int
    timestamp_ms: int
    event: Event | None
    verdict: Verdict | None
    machine: Machine | None = None
    discarded: bool = False

    @property
    def apart_ms(self) -> int | None:
        """How far the sender's time is ahead of the log's, where that is worth saying."""
        if self.event is None:
            return None
        apart = self.event.time_ms - self.timestamp_ms
        return apart if abs(apart) > APART_MS else None


class History:
    """The history of one license: `entries` holds the last `last` (None: all), `count` all.

    `discarded`: offsets in its partition that are left out.
    """

    def __init__(
        self,
        license_: str,
        *,
        last: int | None = None,
        discarded: frozenset[int] = frozenset(),
    ) -> None:
        self._discarded = discarded
        self.entries: deque[Entry] = deque(maxlen=last)
        self.count = 0
        self.position = 0
        """The next offset to read."""
        self.license: License | None = None
        self._id = license_
        self._key = license_.encode()
        self._clock = PartitionClock()
        self._machines: dict[str, Machine] = {}
        self._remembered: dict[str, Verdict] = {}
        self._memory: deque[Remembered] = deque()

    def take(self, records: Iterable[Record]) -> None:
        """Take the partition's next records. Raises `UnknownRulesError`."""
        for record in records:
            self._clock = self._clock.advance(record.timestamp_ms)
            self.position = record.offset + 1
            if record.key == self._key:
                self.entries.append(self._entry(record))
                self.count += 1

    def machine(self, id_: str) -> Machine | None:
        """The machine as it stands now; None where it is not activated."""
        return self._machines.get(id_)

    def _entry(self, record: Record) -> Entry:
        if record.offset in self._discarded:
            return replace_entry(_made(record, None, None, None), discarded=True)
        event = _decoded(record)
        license_ = self.license or License(id=self._id)
        if license_.frozen_at is not None or event is None:
            if license_.frozen_at is None:
                self.license = replace(license_, frozen_at=record.offset)
            return _made(record, event, None, None)
        name: str | None = getattr(event.data, "machine", None)
        before = None if name is None else self._machines.get(name)
        verdict = self._fold(event, record.offset, before)
        after = None if name is None else self._machines.get(name)
        return _made(record, event, verdict, after or before)

    def _fold(self, event: Event, offset: int, machine: Machine | None) -> Verdict:
        loaded = Loaded(
            license=self.license,
            machine=machine,
            remembered=self._remembered.get(event.id),
            oldest=tuple(islice(self._memory, FORGOTTEN_MAX)),
        )
        elapsed_ms = self._clock.elapsed_ms
        folded = fold(event, offset, elapsed_ms, loaded)
        if not folded.changed:
            return folded.verdict
        self.license = folded.license
        if folded.machine_changed and folded.machine is not None:
            self._machines[folded.machine.id] = folded.machine
        elif folded.machine_changed and machine is not None:
            del self._machines[machine.id]
        for old in folded.forget:
            self._remembered.pop(old.command, None)
            self._memory.popleft()
        if folded.remember:
            self._remembered[event.id] = folded.verdict
            self._memory.append(Remembered(offset=offset, elapsed_ms=elapsed_ms, command=event.id))
        return folded.verdict


def why(entry: Entry) -> str:
    """Why the fold decided so, in words."""
    verdict = entry.verdict
    if entry.discarded:
        return "discarded by a person's order: every fold leaves it out"
    if entry.event is None:
        return "the record can't be decoded: the license stays as it was before it"
    if verdict is None:
        return "set aside: the license stands still since the record before that can't be folded"
    if verdict.offset != entry.offset:
        return f"the same command as at offset {verdict.offset}: its verdict again, nothing changed"
    if verdict.granted:
        held = f"{verdict.seats_held} of {_limit(verdict)} held now"
        return in_words(entry.event.data) or held
    return _WHY.get(verdict.code, verdict.code).format(
        held=verdict.seats_held, limit=_limit(verdict)
    )


_WHY: Final = {
    verdicts.NOT_FOUND: "no live license there: never issued, or revoked",
    verdicts.KEY_TAKEN: "a license was issued under this key before and lives",
    verdicts.SUSPENDED: "the license was suspended",
    verdicts.EXPIRED: "the license's time was over",
    verdicts.ALREADY_HELD: "the machine had its seat already",
    verdicts.SEATS_DIFFER: "the machine held another number of seats already",
    verdicts.LIMIT_EXCEEDED: "{held} of {limit} were held already",
    verdicts.NO_MACHINE: "the machine held no seat",
    verdicts.ALREADY_SUSPENDED: "the license was suspended before",
    verdicts.NOT_SUSPENDED: "the license was not suspended",
    verdicts.STALE_TERMS: "the license has later terms of its policy already, or another policy",
    verdicts.NO_CHECK_IN: "the license's terms require no check-ins",
    verdicts.NO_DURATION: "the license's terms have no duration to add",
    verdicts.USES_EXCEEDED: "that would be more uses than the license has",
    verdicts.USES_NEGATIVE: "that would be fewer uses than none",
    verdicts.ENTITLEMENT_TAKEN: "the license had one of these entitlements already",
    verdicts.NO_ENTITLEMENT: "the license had no such entitlement of its own",
    verdicts.ENTITLEMENTS_EXCEEDED: "the license would have too many entitlements of its own",
    verdicts.SOURCES_EXCEEDED: "the license has heard from as many sources as it may",
    verdicts.IDEMPOTENCY_MISMATCH: "its Idempotency-Key was used for another request",
    verdicts.ALREADY_APPLIED: "this line of the source was applied before: nothing changed",
}


def _limit(verdict: Verdict) -> str:
    return "unlimited seats" if verdict.limit is None else f"{verdict.limit} seats"


def _made(
    record: Record, event: Event | None, verdict: Verdict | None, machine: Machine | None
) -> Entry:
    return Entry(
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        event=event,
        verdict=verdict,
        machine=machine,
    )


def _decoded(record: Record) -> Event | None:
    try:
        return decode(record.key, record.value)
    except UndecodableError:
        return None
