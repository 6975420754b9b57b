"""Noticing checks: the ledger learns that a license was validated, and no check waits for that.

The log keeps edges, not beats. An event is written for the first valid check of a license whose
duration begins with it, and else for at most one check a day and license: that is what
`lastValidated` is true to. What can't be written now is let go; a later check is noticed instead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from msgspec import Struct

from api.catalog.reading import Catalog
from api.checking import Check
from api.checks import Answer
from api.clock import Clock
from api.metrics import Metrics
from api.problems import Problem
from api.verdicts import Verdicts
from ledger.domain import identifiers
from ledger.domain.events import Event, Validated
from ledger.domain.identifiers import Pepper
from ledger.domain.license import License

ACTOR: Final = "checks"
DAY_MS: Final = 86_400_000
AGAIN_S: Final = 60.0
WAITING_MAX: Final = 256
A_SECOND: Final = 50
"""Events a second that one worker writes of checks, so that they are never most of the log."""
REMEMBERED_MAX: Final = 20_000
_RULES: Final = 2

_log: Final = logging.getLogger(__name__)


class _Noted(Struct, frozen=True, kw_only=True):
    """A check that is worth an event, and what that is of."""

    license: License
    what: str
    data: Validated


class Noticing:
    """Takes checks in with `note`; `run` writes of them until cancelled."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        verdicts: Verdicts,
        pepper: Pepper,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._catalog = catalog
        self._verdicts = verdicts
        self._pepper = pepper
        self._clock = clock
        self._metrics = metrics
        self._waiting: asyncio.Queue[_Noted] = asyncio.Queue(WAITING_MAX)
        self._noticed: dict[tuple[str, str], float] = {}

    @property
    def waiting(self) -> int:
        """How many checks wait to be written of."""
        return self._waiting.qsize()

    def note(self, check: Check) -> None:
        """Take a check in, where it is worth an event."""
        if check.license is not None:
            self.note_of(check.license, check.answer, check.now_ms)

    def note_of(self, license_: License, answer: Answer, now_ms: int) -> None:
        """Take in a check of this license, which was answered so."""
        if license_.frozen_at is not None:
            return
        what = _worth(license_, answer, now_ms)
        if what is None:
            return
        now, noticed = time.monotonic(), (license_.id, what)
        if now - self._noticed.get(noticed, float("-inf")) < AGAIN_S:
            return
        if self._waiting.full():
            self._metrics.unnoticed.labels("TOO_MANY").inc()
            return
        if len(self._noticed) >= REMEMBERED_MAX:
            self._noticed.clear()
        self._noticed[noticed] = now
        validated = Validated(valid=answer.valid, code=answer.code)
        self._waiting.put_nowait(_Noted(license=license_, what=what, data=validated))

    async def run(self) -> None:
        """Write events, one after the other, at a bounded rate; whatever is away."""
        while True:
            noted = await self._waiting.get()
            try:
                await self._write(noted)
            except Problem as problem:
                self._metrics.unnoticed.labels(problem.code).inc()
            except Exception:  # noqa: BLE001 - whatever it is, checks go on
                _log.exception("a check could not be noticed")
            await asyncio.sleep(1 / A_SECOND)

    async def _write(self, noted: _Noted) -> None:
        rules = await self._catalog.rules()
        if rules < _RULES:
            return
        id_, account = noted.license.id, noted.license.account
        event = Event(
            id=identifiers.command_id(self._pepper, account, ACTOR, id_, noted.what),
            source=ACTOR,
            license=id_,
            time_ms=self._clock.write_ms,
            actor=ACTOR,
            content_digest=identifiers.content_digest(self._pepper, noted.what.encode()),
            data=noted.data,
            rules=rules,
        )
        await self._verdicts.append(event)


def _worth(license_: License, answer: Answer, now_ms: int) -> str | None:
    """What an event of the check would be of; None where it is not worth one.

    Whoever notices the same in the license's same incarnation calls it the same.
    """
    terms = license_.terms
    if (
        answer.valid
        and terms is not None
        and terms.expiration_basis == "FROM_FIRST_VALIDATION"
        and license_.started_ms is None
    ):
        return f"{license_.epoch}:begin:{license_.policy}:{license_.policy_version}"
    last_ms = license_.last_validated_ms
    if last_ms is not None and now_ms - last_ms < DAY_MS:
        return None
    return f"{license_.epoch}:{now_ms // DAY_MS}"
