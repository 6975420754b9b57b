"""Commands to the catalog: an event is appended, folded by the replicas, and its verdict read."""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from api.catalog.reading import Catalog
from api.clock import Clock
from api.commands import SOURCE, Asked
from api.refusals import mismatch
from api.verdicts import DECIDED_S, Verdicts
from ledger.domain import identifiers
from ledger.domain.catalog.events import (
    CATALOG_TYPE_NAMES,
    AccountChanged,
    AccountCreated,
    CatalogData,
    CatalogEvent,
)
from ledger.domain.catalog.verdicts import CatalogVerdict, scope_of
from ledger.domain.identifiers import Pepper
from projector.read_model.keys import CATALOG
from projector.views.catalog import read_catalog_verdict

_OF_ACCOUNTS: Final = (AccountCreated, AccountChanged)
_encoder: Final = msgspec.json.Encoder(order="sorted")


class CatalogDecided(Struct, frozen=True, kw_only=True):
    """A verdict on what was asked about `entity`, and where it was decided."""

    verdict: CatalogVerdict
    entity: str
    position: str


class CatalogCommands:
    """Changes the catalog, in log order."""

    def __init__(
        self, *, catalog: Catalog, pepper: Pepper, clock: Clock, verdicts: Verdicts
    ) -> None:
        self._catalog = catalog
        self._pepper = pepper
        self._clock = clock
        self._verdicts = verdicts

    async def decide(
        self, data: CatalogData, asked: Asked, *, entity: str | None = None, request: object = None
    ) -> CatalogDecided:
        """Ask for something about an entity, or for a new one. Raises a 503 or 422 `Problem`.

        `request`: what the client asked, where `data` holds what was made for it. An account is
        its own account, whoever makes or changes it.
        """
        deadline = asyncio.get_running_loop().time() + DECIDED_S
        time_ms = self._clock.write_ms
        command = self.command_id(asked)
        subject = entity or new_entity_id(command)
        event = CatalogEvent(
            id=command,
            source=SOURCE,
            account=subject if isinstance(data, _OF_ACCOUNTS) else asked.account,
            subject=subject,
            time_ms=time_ms,
            actor=asked.actor,
            content_digest=self._digest(data, entity, request),
            data=data,
        )
        verdict = await self._verdicts.decide_catalog(event, asked.traceparent, deadline)
        return self._decided(verdict, subject)

    async def decided_before(
        self, data: CatalogData, asked: Asked, *, entity: str
    ) -> CatalogDecided | None:
        """What was decided on this command when it came first; None where it isn't remembered.

        Nothing is appended. Raises a `Problem`: 503 where it can't be told, 422 for a mismatch.
        """
        if asked.idempotency_key is None:
            return None
        scope, command = scope_of(asked.account, asked.actor), self.command_id(asked)
        found = await self._verdicts.remembered(
            CATALOG, lambda keys: [keys.command(scope, command)]
        )
        if found is None:
            return None
        verdict = read_catalog_verdict(found[1])
        if verdict.content_digest != self._digest(data, entity):
            raise mismatch()
        return self._decided(verdict, entity)

    def _decided(self, verdict: CatalogVerdict, entity: str) -> CatalogDecided:
        position = f"{self._catalog.ledger}:catalog.{verdict.offset}"
        return CatalogDecided(verdict=verdict, entity=entity, position=position)

    def _digest(self, data: CatalogData, entity: str | None, request: object = None) -> str:
        told = CATALOG_TYPE_NAMES[type(data)], entity, data if request is None else request
        return identifiers.content_digest(self._pepper, _encoder.encode(told))

    def command_id(self, asked: Asked) -> str:
        """Id of a command: the same for each repetition with the same Idempotency-Key."""
        if asked.idempotency_key is None:
            return identifiers.random_id()
        return identifiers.catalog_command_id(
            self._pepper, asked.account, asked.actor, asked.idempotency_key
        )


def new_entity_id(command: str) -> str:
    """Id of the entity that a command creates: a function of the command's."""
    return str(uuid5(UUID(command), "entity"))
