"""Commands: what was asked becomes a sealed event, and the event a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from api.catalog.reading import Catalog
from api.changing import MachineChangeRequest
from api.clock import Clock
from api.data_keys import DataKeys
from api.finding import Finder
from api.principals import Principal
from api.problems import not_found, pointer
from api.refusals import refuse_frozen
from api.requests import LicenseRequest, MachineRequest, RemovalRequest, canonical
from api.verdicts import DECIDED_S, Verdicts
from ledger.domain import identifiers
from ledger.domain.catalog.entities import Policy
from ledger.domain.events import (
    TYPE_NAMES,
    ActivationRequested,
    DeactivationRequested,
    Event,
    EventData,
    Issued,
    MachineChanged,
)
from ledger.domain.identifiers import Pepper
from ledger.domain.license import License, Loaded, Machine, fold
from ledger.domain.terms import OwnTerms
from ledger.domain.verdicts import Verdict
from ledger.sealing.data_key import DataKey

SOURCE: Final = "api"


class Asked(Struct, frozen=True, kw_only=True):
    """Who asks for something to be written, and what came with the request's headers."""

    who: Principal
    idempotency_key: str | None = None
    traceparent: str | None = None

    @property
    def account(self) -> str:
        """Id of the account that it is asked of."""
        return self.who.account

    @property
    def actor(self) -> str:
        """What the ledger calls who asks."""
        return self.who.actor

    def sees(self, license_: License) -> bool:
        """Whether the license is live, of this account, and theirs to see."""
        if license_.status != "live" or license_.account != self.account:
            return False
        return self.who.sees_license(license_)


class Decided(Struct, frozen=True, kw_only=True):
    """A verdict, the license's id, key and product, and the event as it was sent this time."""

    verdict: Verdict
    license: str
    event: Event
    key: str = ""
    product: str = ""

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
            rules=first.rules,
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

    async def issue(self, request: LicenseRequest, policy: Policy, asked: Asked) -> Decided:
        """Issue a license under the given key or one of our making. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        key = request.key or self._made_key(asked)
        license_ = identifiers.license_id(self._pepper, asked.account, key)
        current, guessed = await self._current(license_)
        refuse_frozen(current)
        data_key = await self._data_keys.for_license(
            asked.account, license_, current, time_ms, guessed
        )
        data = Issued(
            account=asked.account,
            product=policy.product,
            policy=policy.id,
            key=data_key.seal(asked.account, license_, key),
            terms=policy.terms,
            own=OwnTerms(
                max_machines=request.max_machines,
                max_uses=request.max_uses,
                protected=request.protected,
                expiry_ms=request.expiry_ms,
            ),
            name=request.name,
            metadata=request.metadata,
        )
        event = await self._event(license_, data, canonical(request), time_ms, asked)
        event = replace(event, policy_version=policy.version)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_, event=event, key=key)

    async def activate(self, request: MachineRequest, asked: Asked) -> Decided:
        """Activate a machine on a license. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        license_ = request.license
        current, guessed = await self._current(license_)
        if current is None or not asked.sees(current):
            raise not_found("license", pointer("/data/relationships/license"))
        refuse_frozen(current)
        account, fingerprint = asked.account, request.fingerprint
        data_key = await self._data_keys.for_license(account, license_, current, time_ms, guessed)
        sealed = partial(_sealed, data_key, account, license_)
        data = ActivationRequested(
            machine=identifiers.machine_id(self._pepper, license_, fingerprint),
            fingerprint=data_key.seal(account, license_, fingerprint),
            fingerprint_digest=identifiers.fingerprint_digest(self._pepper, account, fingerprint),
            seats=request.seats,
            name=sealed(request.name),
            hostname=sealed(request.hostname),
            ip=sealed(request.ip),
            platform=request.platform,
            cores=request.cores,
            metadata=request.metadata,
        )
        event = await self._event(license_, data, canonical(request), time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_, event=event, product=current.product)

    async def order(
        self,
        license_: License,
        data: EventData,
        asked: Asked,
        *,
        request: object = None,
        version: int | None = None,
    ) -> Decided:
        """Order something about a license. Raises a `Problem`.

        `request`: what the client asked, where `data` holds what was looked up for it, and may be
        another thing when it is repeated. `version`: of the policy whose terms `data` carries.
        """
        deadline = _deadline()
        time_ms = self._clock.write_ms
        refuse_frozen(license_)
        told = order_digested(data, request)
        event = await self._event(license_.id, data, told, time_ms, asked)
        event = replace(event, policy_version=version)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_.id, event=event)

    async def change_machine(
        self, license_: License, request: MachineChangeRequest, asked: Asked
    ) -> Decided:
        """Change what is known of a machine. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        refuse_frozen(license_)
        account, id_ = asked.account, license_.id
        data_key = await self._data_keys.for_license(account, id_, license_, time_ms)
        sealed = partial(_resealed, data_key, account, id_)
        data = MachineChanged(
            machine=request.machine,
            name=sealed(request.name),
            hostname=sealed(request.hostname),
            ip=sealed(request.ip),
            platform=request.platform,
            cores=request.cores,
            metadata=request.metadata,
        )
        event = await self._event(id_, data, canonical(request), time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=id_, event=event)

    async def deactivate(self, license_: License, machine: Machine, asked: Asked) -> Decided:
        """Deactivate a machine of a license. Raises a `Problem`."""
        deadline = _deadline()
        time_ms = self._clock.write_ms
        refuse_frozen(license_)
        request = canonical(RemovalRequest(machine=machine.id))
        data = DeactivationRequested(machine=machine.id)
        event = await self._event(license_.id, data, request, time_ms, asked)
        verdict = await self._verdicts.decide(event, asked.traceparent, deadline)
        return Decided(verdict=verdict, license=license_.id, event=event)

    async def _current(self, license_: str) -> tuple[License | None, Sequence[bytes | None]]:
        """License as it stands, and with it the data key that it had last."""
        return await self._finder.license_and(license_, self._data_keys.guess(license_))

    def _made_key(self, asked: Asked) -> str:
        if asked.idempotency_key is None:
            return identifiers.new_license_key()
        return identifiers.derived_license_key(
            self._pepper, asked.account, asked.actor, asked.idempotency_key
        )

    async def _event(
        self, license_: str, data: EventData, request: bytes, time_ms: int, asked: Asked
    ) -> Event:
        return Event(
            id=self.id_of(license_, asked),
            source=SOURCE,
            license=license_,
            time_ms=time_ms,
            actor=asked.actor,
            content_digest=identifiers.content_digest(self._pepper, request),
            data=data,
            rules=await self._catalog.rules(),
        )

    def id_of(self, license_: str, asked: Asked) -> str:
        """Id of a command on a license: the same each time with the same Idempotency-Key."""
        if asked.idempotency_key is None:
            return identifiers.random_id()
        return identifiers.command_id(
            self._pepper, asked.account, asked.actor, license_, asked.idempotency_key
        )


def order_digested(data: EventData, request: object = None) -> bytes:
    """What of an order is digested."""
    return canonical((TYPE_NAMES[type(data)], data if request is None else request))


def _sealed(data_key: DataKey, account: str, license_: str, text: str | None) -> str | None:
    return None if text is None else data_key.seal(account, license_, text)


def _resealed(
    data_key: DataKey, account: str, license_: str, text: str | UnsetType | None
) -> str | UnsetType | None:
    return text if isinstance(text, UnsetType) else _sealed(data_key, account, license_, text)


def _deadline() -> float:
    return asyncio.get_running_loop().time() + DECIDED_S
