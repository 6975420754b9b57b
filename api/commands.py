"""Commands: what was asked becomes a sealed event, and the event a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from api.catalog import Catalog
from api.clock import Clock
from api.data_keys import DataKeys
from api.finding import Finder
from api.problems import not_found, pointer
from api.refusals import refuse_frozen
from api.requests import LicenseRequest, MachineRequest, RemovalRequest, canonical
from api.verdicts import DECIDED_S, Verdicts
from ledger.domain import identifiers
from ledger.domain.events import (
    ActivationRequested,
    DeactivationRequested,
    Event,
    EventData,
    Issued,
)
from ledger.domain.identifiers import Pepper
from ledger.domain.license import License, Loaded, fold
from ledger.domain.terms import OwnTerms
from ledger.domain.verdicts import Verdict
from ledger.sealing.data_key import DataKey

SOURCE: Final = "api"
POLICY_VERSION: Final = 0
"""Of terms from the settings, so that a catalog takes over from there."""


class Asked(Struct, frozen=True, kw_only=True):
    """Who asks, and what came with the request's headers."""

    actor: str
    idempotency_key: str | None = None
    traceparent: str | None = None


class Decided(Struct, frozen=True, kw_only=True):
    """A verdict, the license's id and key, and the event as it was sent this time."""

    verdict: Verdict
    license: str
    event: Event
    key: str = ""

    def as_issued(self) -> License:
        """License as it was issued: the same whenever and wherever the command is repeated."""
        first = self.event
        issued = Event(
            id=first.id,
            source=first.source,
            license=first.license,
            time_ms=self.verdict.time_ms,
            actor=first.actor,
            content_digest=first.content_digest,
            data=first.data,
            policy_version=first.policy_version,
        )
        return fold(issued, self.verdict.offset, 0, Loaded()).license


class Commands:
    """Issues licenses, activates and deactivates machines."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        pepper: Pepper,
        clock: Clock,
        finder: Finder,
        data_keys: DataKeys,
        verdicts: Verdicts,
    ) -> None:
        self._catalog = catalog
        self._pepper = pepper
        self._clock = clock
        self._finder = finder
        self._data_keys = data_keys
        self._verdicts = verdicts

    async def issue(self, request: LicenseRequest, asked: Asked) -> Decided:
        """Issue a license under the given key or one of our making. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        key = request.key or self._made_key(asked)
        license_ = identifiers.license_id(self._pepper, self._catalog.account, key)
        current, guessed = await self._current(license_)
        refuse_frozen(current)
        data_key = await self._data_keys.for_license(license_, current, time_ms, guessed)
        data = Issued(
            account=self._catalog.account,
            product=self._catalog.product,
            policy=self._catalog.policy,
            key=self._seal(data_key, license_, key),
            terms=self._catalog.terms,
            own=OwnTerms(max_machines=request.max_machines, expiry_ms=request.expiry_ms),
            name=request.name,
            metadata=request.metadata,
        )
        event = self._event(license_, data, canonical(request), time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_, event=event, key=key)

    async def activate(self, request: MachineRequest, asked: Asked) -> Decided:
        """Activate a machine on a license. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        license_ = request.license
        current, guessed = await self._current(license_)
        if current is None or current.status != "live":
            raise not_found("license", pointer("/data/relationships/license"))
        refuse_frozen(current)
        data_key = await self._data_keys.for_license(license_, current, time_ms, guessed)
        account, fingerprint = self._catalog.account, request.fingerprint
        data = ActivationRequested(
            machine=identifiers.machine_id(self._pepper, license_, fingerprint),
            fingerprint=self._seal(data_key, license_, fingerprint),
            fingerprint_digest=identifiers.fingerprint_digest(self._pepper, account, fingerprint),
            seats=request.seats,
            name=self._seal_or_none(data_key, license_, request.name),
            hostname=self._seal_or_none(data_key, license_, request.hostname),
            ip=self._seal_or_none(data_key, license_, request.ip),
            platform=request.platform,
            cores=request.cores,
            metadata=request.metadata,
        )
        event = self._event(license_, data, canonical(request), time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_, event=event)

    async def deactivate(self, named: str, asked: Asked) -> Decided:
        """Deactivate the machine with this id or fingerprint. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        found = await self._finder.machine(named)
        if found is None:
            raise not_found("machine")
        license_, machine = found
        refuse_frozen(license_)
        request = canonical(RemovalRequest(machine=machine.id))
        data = DeactivationRequested(machine=machine.id)
        event = self._event(license_.id, data, request, time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_.id, event=event)

    async def _current(self, license_: str) -> tuple[License | None, Sequence[bytes | None]]:
        """License as it stands, and with it the data key that it had last."""
        return await self._finder.license_and(license_, self._data_keys.guess(license_))

    def _made_key(self, asked: Asked) -> str:
        if asked.idempotency_key is None:
            return identifiers.new_license_key()
        return identifiers.derived_license_key(
            self._pepper, self._catalog.account, asked.actor, asked.idempotency_key
        )

    def _event(
        self, license_: str, data: EventData, request: bytes, time_ms: int, asked: Asked
    ) -> Event:
        return Event(
            id=self._command_id(license_, asked),
            source=SOURCE,
            license=license_,
            time_ms=time_ms,
            actor=asked.actor,
            content_digest=identifiers.content_digest(self._pepper, request),
            data=data,
            policy_version=POLICY_VERSION if isinstance(data, Issued) else None,
        )

    def _command_id(self, license_: str, asked: Asked) -> str:
        if asked.idempotency_key is None:
            return identifiers.random_id()
        return identifiers.command_id(
            self._pepper, self._catalog.account, asked.actor, license_, asked.idempotency_key
        )

    def _seal(self, data_key: DataKey, license_: str, text: str) -> str:
        return data_key.seal(self._catalog.account, license_, text)

    def _seal_or_none(self, data_key: DataKey, license_: str, text: str | None) -> str | None:
        return None if text is None else self._seal(data_key, license_, text)


def _deadline() -> float:
    return asyncio.get_running_loop().time() + DECIDED_S
