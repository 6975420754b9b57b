"""Verdicts: an event is appended, every replica in service folds past it, and the verdict is read.

What is not decided in time is answered 503, because repeating is safe with an Idempotency-Key (or
202, to who asks for that: api/pending.py). It says what is known of it: `outcome` is `refused`
(certainly not written), `unknown` (handed to a socket, and perhaps written) or `pending` (written,
not yet decided).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from api.log_end import LogBehindError
from api.metrics import Metrics
from api.pending import Command, VerdictPending, command_of, verdict_pending
from api.problems import Problem, replica_behind, unavailable, unprocessable
from api.refusals import frozen, mismatch
from api.replicas import Replicas
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.catalog.verdicts import CatalogVerdict, scope_of
from ledger.domain.events import RULES_VERSION, Event
from ledger.domain.identifiers import partition_of
from ledger.domain.verdicts import Verdict
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.codec import CONTENT_TYPE, UndecodableError, encode
from ledger.event_log.port import AppendUnknown, EventLog, Headers, LogError, Topic
from projector.read_model.keys import CATALOG, Keys
from projector.views.catalog import read_catalog_verdict
from projector.views.documents import read_license, read_verdict

DECIDED_S: Final = 2.0
"""From the request to the verdict, with the time to the acknowledgement."""
_BEHIND_RETRY_S: Final = 60
_CONTENT_TYPE: Final = ("content-type", CONTENT_TYPE.encode())


class Verdicts:
    """Appends events and brings their verdicts."""

    def __init__(self, log: EventLog, replicas: Replicas, metrics: Metrics) -> None:
        self._log = log
        self._replicas = replicas
        self._metrics = metrics
        self.begun = 0
        """Commands on licenses that this worker has asked to be decided, whoever asked for them."""

    async def decide(self, event: Event, traceparent: str | None, deadline: float) -> Verdict:
        """Append the event and return its verdict; the first one, where it was repeated.

        `deadline`: of the loop's clock. Raises a `Problem`: 503 where it isn't decided, 422 where
        the command is remembered with another content.
        """
        self.begun += 1
        partition = partition_of(event.license, self._replicas.partitions)
        try:
            remembered = await self._decided(
                Topic.LICENSE_EVENTS,
                partition,
                _record(event),
                lambda keys: keys.command(event.license, event.id),
                traceparent,
                deadline,
            )
        except _Undecided as undecided:
            raise self._pending(command_of(event, undecided.offset)) from None
        if remembered is None:
            raise await self._without_verdict(event, partition)
        verdict = read_verdict(remembered)
        if verdict.content_digest != event.content_digest:
            raise mismatch()
        self._metrics.verdicts.labels(event.type, verdict.code).inc()
        return verdict

    async def append(self, event: Event) -> None:
        """Append an event without waiting for its verdict. Raises a 503 `Problem`."""
        partition = partition_of(event.license, self._replicas.partitions)
        await self._append(Topic.LICENSE_EVENTS, partition, _record(event), None)

    async def decide_catalog(
        self, event: CatalogEvent, traceparent: str | None, deadline: float
    ) -> CatalogVerdict:
        """As `decide`, for an event of the catalog."""
        scope = scope_of(event.account, event.actor)
        try:
            remembered = await self._decided(
                Topic.CATALOG_EVENTS,
                CATALOG,
                (event.account.encode(), encode_catalog(event)),
                lambda keys: keys.command(scope, event.id),
                traceparent,
                deadline,
            )
        except _Undecided:
            raise self._pending(None) from None
        if remembered is None:
            raise _forgotten()
        verdict = read_catalog_verdict(remembered)
        if verdict.content_digest != event.content_digest:
            raise mismatch()
        self._metrics.verdicts.labels(event.type, verdict.code).inc()
        return verdict

    async def remembered(
        self, place: int, names: Callable[[Keys], Sequence[str]]
    ) -> tuple[int, bytes] | None:
        """First remembered verdict at these keys, with its place; None where there is none.

        Nothing is appended. Raises a 503 `Problem` where it can't be told.
        """
        reading = await self._replicas.read(place, names, absent=lambda values: not any(values))
        for at, value in enumerate(reading.values):
            if value is not None:
                return at, value
        if reading.behind:
            raise replica_behind()
        return None

    async def _decided(
        self,
        topic: Topic,
        place: int,
        record: tuple[bytes, bytes],
        name: Callable[[Keys], str],
        traceparent: str | None,
        deadline: float,
    ) -> bytes | None:
        """Append a record and bring what is remembered of it once it was folded.

        `place`: the partition whose replicas are waited for. Raises `_Undecided` where it isn't in
        time, and a 503 `Problem` where it isn't written.
        """
        offset = await self._append(topic, max(place, 0), record, traceparent)
        started = time.monotonic()
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            await self._replicas.passing.passed(place, offset, left_s)
        except TimeoutError:
            raise _Undecided(offset) from None
        reading = await self._replicas.read_past(place, offset, lambda keys: (name(keys),))
        if reading is None:
            raise _Undecided(offset)
        self._metrics.verdict_seconds.observe(time.monotonic() - started)
        [remembered] = reading.values
        return remembered

    async def _append(
        self,
        topic: Topic,
        partition: int,
        record: tuple[bytes, bytes],
        traceparent: str | None,
    ) -> int:
        key, value = record
        headers: Headers = (_CONTENT_TYPE,)
        if traceparent is not None:
            headers = (*headers, ("traceparent", traceparent.encode()))
        started = time.monotonic()
        try:
            appended = await self._log.append(
                topic, partition, key=key, value=value, headers=headers
            )
        except LogError as error:
            raise self.log_away(error) from None
        self._metrics.append_seconds.observe(time.monotonic() - started)
        return appended.offset

    def log_away(self, error: LogError, *, written: str = "It") -> Problem:
        """503 for an append without an acknowledgement; `written` says what that would be of."""
        unknown = isinstance(error, AppendUnknown)
        outcome = "unknown" if unknown else "refused"
        self._metrics.undecided.labels(outcome).inc()
        known = "may have been written" if unknown else "was not written"
        if isinstance(error, LogBehindError):
            return unavailable(
                "The log ends before what the replicas know of it, so nothing is written until "
                f"the ledger's operator has seen to that. {written} was not written: repeat it "
                "later with its Idempotency-Key, which is safe.",
                code="LOG_BEHIND",
                retry_after_s=_BEHIND_RETRY_S,
                meta={"outcome": outcome},
            )
        return unavailable(
            f"The log takes nothing at the moment. {written} {known}: repeat it with its "
            "Idempotency-Key, which is safe.",
            code="LOG_UNAVAILABLE",
            meta={"outcome": outcome},
        )

    async def _without_verdict(self, event: Event, partition: int) -> Problem:
        """Say why a command that was passed is not remembered."""
        reading = await self._replicas.read(partition, lambda keys: (keys.license(event.license),))
        [document] = reading.values
        if document is not None and read_license(document).frozen_at is not None:
            return frozen()
        return _forgotten()

    def _pending(self, command: Command | None) -> VerdictPending:
        self._metrics.undecided.labels("pending").inc()
        return verdict_pending(command)


class _Undecided(Exception):
    """A record is in the log at `offset`, and wasn't decided in time."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


def _record(event: Event) -> tuple[bytes, bytes]:
    """Key and value of an event's record; raises a 422 `Problem` for what its rules don't have."""
    try:
        return event.license.encode(), encode(event)
    except UndecodableError:
        if event.rules >= RULES_VERSION:
            raise
        raise rules_not_active(event.rules) from None


def rules_not_active(rules: int) -> Problem:
    """422: what the rules that writers use don't have."""
    return unprocessable(
        "RULES_NOT_ACTIVE",
        f"The ledger still writes by rules version {rules}, which has no such thing. "
        f"Whoever runs it activates the next one: ledger rules activate {RULES_VERSION}.",
        "/data",
    )


def _forgotten() -> Problem:
    return unavailable(
        "The verdict is not remembered any more. Read what was changed to see what it was.",
        code="VERDICT_FORGOTTEN",
    )
