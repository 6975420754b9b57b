"""Verdicts: an event is appended, every replica in service folds past it, and the verdict is read.

What is not decided in time is answered 503, because repeating is safe with an Idempotency-Key, and
says what is known of it: `outcome` is `refused` (certainly not written), `unknown` (handed to a
socket, and perhaps written) or `pending` (written, not yet decided).
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from api.metrics import Metrics
from api.problems import Problem, unavailable
from api.refusals import frozen, mismatch
from api.replicas import Replicas
from ledger.domain.events import Event
from ledger.domain.identifiers import partition_of
from ledger.domain.verdicts import Verdict
from ledger.event_log.codec import CONTENT_TYPE, encode
from ledger.event_log.port import AppendUnknown, EventLog, Headers, LogError, Topic
from projector.views.documents import read_license, read_verdict

DECIDED_S: Final = 2.0
"""From the request to the verdict, with the time to the acknowledgement."""
_CONTENT_TYPE: Final = ("content-type", CONTENT_TYPE.encode())


class Verdicts:
    """Appends events and brings their verdicts."""

    def __init__(self, log: EventLog, replicas: Replicas, metrics: Metrics) -> None:
        self._log = log
        self._replicas = replicas
        self._metrics = metrics

    async def decide(self, event: Event, traceparent: str | None, deadline: float) -> Verdict:
        """Append the event and return its verdict; the first one, where it was repeated.

        `deadline`: of the loop's clock. Raises a `Problem`: 503 where it isn't decided, 422 where
        the command is remembered with another content.
        """
        partition = partition_of(event.license, self._replicas.partitions)
        offset = await self._append(event, partition, traceparent)
        started = time.monotonic()
        verdict = await self._verdict(event, partition, offset, deadline)
        self._metrics.verdict_seconds.observe(time.monotonic() - started)
        if verdict.content_digest != event.content_digest:
            raise mismatch()
        self._metrics.verdicts.labels(event.type, verdict.code).inc()
        return verdict

    async def _append(self, event: Event, partition: int, traceparent: str | None) -> int:
        key, value = event.license.encode(), encode(event)
        headers: Headers = (_CONTENT_TYPE,)
        if traceparent is not None:
            headers = (*headers, ("traceparent", traceparent.encode()))
        started = time.monotonic()
        try:
            appended = await self._log.append(
                Topic.LICENSE_EVENTS, partition, key=key, value=value, headers=headers
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
        return unavailable(
            f"The log takes nothing at the moment. {written} {known}: repeat it with its "
            "Idempotency-Key, which is safe.",
            code="LOG_UNAVAILABLE",
            meta={"outcome": outcome},
        )

    async def _verdict(self, event: Event, partition: int, offset: int, deadline: float) -> Verdict:
        left_s = deadline - asyncio.get_running_loop().time()
        try:
            await self._replicas.passing.passed(partition, offset, left_s)
        except TimeoutError:
            raise self._pending() from None
        reading = await self._replicas.read_past(
            partition, offset, lambda keys: (keys.command(event.license, event.id),)
        )
        if reading is None:
            raise self._pending()
        [remembered] = reading.values
        if remembered is None:
            raise await self._without_verdict(event, partition)
        return read_verdict(remembered)

    async def _without_verdict(self, event: Event, partition: int) -> Problem:
        """Say why a command that was passed is not remembered."""
        reading = await self._replicas.read(partition, lambda keys: (keys.license(event.license),))
        [document] = reading.values
        if document is not None and read_license(document).frozen_at is not None:
            return frozen()
        return unavailable(
            "The verdict is not remembered any more. Read the license to see what it was.",
            code="VERDICT_FORGOTTEN",
        )

    def _pending(self) -> Problem:
        self._metrics.undecided.labels("pending").inc()
        return unavailable(
            "It was written and will be decided, but not yet: repeat it with its "
            "Idempotency-Key, which is safe.",
            code="VERDICT_PENDING",
            meta={"outcome": "pending"},
        )
