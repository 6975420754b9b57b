"""What the commands read from a replica: licenses, sealed data keys, positions, its clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cli.serving import served
from ledger.domain.catalog.entities import (
    FIRST_RULES,
    RULES_ID,
    Account,
    AnyEntity,
    Policy,
    Rules,
    slug_claim,
)
from ledger.domain.catalog.events import CatalogEvent
from ledger.domain.catalog.verdicts import CatalogVerdict, scope_of
from ledger.domain.clocks import Now, producer_now
from ledger.domain.identifiers import partition_of
from ledger.domain.license import License, Machine
from ledger.domain.verdicts import Verdict
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.reasons import reason
from projector.views.catalog import read_catalog_verdict, read_entity
from projector.views.documents import read_head, read_license, read_machine, read_verdict

TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.05


class ReplicasAwayError(Exception):
    """No replica answers."""


class Command(Struct, frozen=True, kw_only=True):
    """A command in the log: whose, its id, and where it stands."""

    license: str
    command: str
    partition: int
    offset: int


class Remembered(Struct, frozen=True, kw_only=True):
    """What a replica has of a command: whether it has folded it, its first verdict, the license."""

    folded: bool
    verdict: Verdict | None
    license: License | None


class CatalogRemembered(Struct, frozen=True, kw_only=True):
    """What a replica has of a command of the catalog: the same, and the entity as it stands."""

    folded: bool
    verdict: CatalogVerdict | None
    entity: AnyEntity | None


class Replicas:
    """The replicas of the settings, A first; each question goes to the first that answers."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._clients: list[Redis] = [
            Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                retry=Retry(NoBackoff(), 0),
            )
            for url in settings.replicas
        ]

    @property
    def clients(self) -> list[Redis]:
        """A client of each replica, A first; every call of them ends within `TIMEOUT_S`."""
        return self._clients

    async def close(self) -> None:
        """Let go of the connections."""
        for client in self._clients:
            await client.aclose()

    async def now(self) -> Now:
        """Return the producer's now: the median of this host's clock and the replicas'."""
        others = []
        for client in self._clients:
            try:
                seconds, microseconds = await client.time()
            except RedisError:
                continue
            others.append(int(seconds) * 1000 + int(microseconds) // 1000)
        return producer_now(time.time_ns() // 1_000_000, others)

    async def licenses(self, ids: Sequence[str]) -> list[License | None]:
        """Return the licenses' states, in the order asked; None where there is no document."""
        names = [Keys(partition_of(id_, self._partitions)).license(id_) for id_ in ids]
        return [None if one is None else read_license(one) for one in await self._get(names)]

    async def machines(self, ids: Sequence[str]) -> list[Machine | None]:
        """Return the machines as they stand, in the order asked; None where there is none."""
        names = [Keys(partition_of(id_, self._partitions)).machine(id_) for id_ in ids]
        return [None if one is None else read_machine(one) for one in await self._get(names)]

    async def policies(self, ids: Sequence[str]) -> list[Policy | None]:
        """Return the policies with these ids, in the order asked; None where there is none."""
        found = await self._get([Keys(CATALOG).entity(id_) for id_ in ids])
        entities = [None if one is None else read_entity(one) for one in found]
        return [one if isinstance(one, Policy) else None for one in entities]

    async def account(self, named: str) -> str | None:
        """Return the id of the account with this id or slug; None where there is none."""
        keys = Keys(CATALOG)
        names = [keys.entity(named.lower()), keys.claim(slug_claim(named))]
        entity, claimed = await self._get(names)
        if entity is not None and isinstance(found := read_entity(entity), Account):
            return found.id
        return None if claimed is None else claimed.decode()

    async def rules(self) -> int:
        """Return the rules version that writers use."""
        [found] = await self._get([Keys(CATALOG).entity(RULES_ID)])
        entity = None if found is None else read_entity(found)
        return entity.version if isinstance(entity, Rules) else FIRST_RULES

    async def data_key(self, license_: str, dk: str) -> bytes | None:
        """Return what the replica holds of a data key (`ledger.sealing.sealer.StoredDataKeys`)."""
        name = keys.data_key(partition_of(license_, self._partitions), license_, dk)
        return (await self._get([name]))[0]

    async def positions(self) -> list[list[int]]:
        """Return each reachable replica's positions, by partition."""
        names = [Keys(partition).head for partition in range(self._partitions)]
        found = []
        for client in self._clients:
            try:
                heads = await served(client, names)
            except RedisError:
                continue
            found.append([_position(head) for head in heads])
        return found

    async def remembered(
        self, commands: Sequence[Command], *, limit_s: float
    ) -> list[Remembered] | None:
        """Return what a replica that has folded past all of `commands` remembers of each.

        It is waited for at most `limit_s`; then the last one that answered tells what it can.
        None where no replica answers.
        """
        ends: dict[int, int] = {}
        names: list[str] = []
        for one in commands:
            here = Keys(one.partition)
            ends[one.partition] = max(ends.get(one.partition, 0), one.offset + 1)
            names += [here.command(one.license, one.command), here.license(one.license)]
        found = await self._past(ends, names, limit_s)
        return None if found is None else _remembered(commands, *found)

    async def catalog_remembered(
        self, events: Sequence[tuple[CatalogEvent, int]], *, limit_s: float
    ) -> list[CatalogRemembered] | None:
        """Return the same of events of the catalog, each with its offset; see `remembered`."""
        keys, names = Keys(CATALOG), list[str]()
        for event, _ in events:
            scope = scope_of(event.account, event.actor)
            names += [keys.command(scope, event.id), keys.entity(event.subject)]
        end = max((offset + 1 for _, offset in events), default=0)
        found = await self._past({CATALOG: end}, names, limit_s)
        return None if found is None else _catalog_remembered(events, *found)

    async def _past(
        self, ends: Mapping[int, int], names: Sequence[str], limit_s: float
    ) -> tuple[dict[int, int], list[bytes | None]] | None:
        """Return positions and values, of a replica that has folded to `ends` if one soon has."""
        heads = [Keys(partition).head for partition in ends]
        given_up_at = time.monotonic() + limit_s
        while True:
            answered = None
            for client in self._clients:
                try:
                    values = await served(client, [*heads, *names])
                except RedisError:
                    continue
                positions = dict(zip(ends, map(_position, values), strict=False))
                answered = positions, values[len(heads) :]
                if all(positions[partition] >= end for partition, end in ends.items()):
                    return answered
            if answered is None or time.monotonic() > given_up_at:
                return answered
            await asyncio.sleep(_POLL_S)

    async def _get(self, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        trouble = "LEDGER_REPLICAS names none"
        for client in self._clients:
            try:
                return await served(client, names)
            except RedisError as error:
                trouble = reason(error)
        raise ReplicasAwayError(
            f"no replica answers, the last one asked: {trouble} (LEDGER_REPLICAS); is the system "
            "running? `ledger up` starts it"
        )


def _remembered(
    commands: Sequence[Command], heads: Mapping[int, int], values: Sequence[bytes | None]
) -> list[Remembered]:
    found = []
    for number, one in enumerate(commands):
        verdict, license_ = values[2 * number : 2 * number + 2]
        found.append(
            Remembered(
                folded=heads[one.partition] > one.offset,
                verdict=None if verdict is None else read_verdict(verdict),
                license=None if license_ is None else read_license(license_),
            )
        )
    return found


def _catalog_remembered(
    events: Sequence[tuple[CatalogEvent, int]],
    heads: Mapping[int, int],
    values: Sequence[bytes | None],
) -> list[CatalogRemembered]:
    found = []
    for number, (_, offset) in enumerate(events):
        verdict, entity = values[2 * number : 2 * number + 2]
        found.append(
            CatalogRemembered(
                folded=heads[CATALOG] > offset,
                verdict=None if verdict is None else read_catalog_verdict(verdict),
                entity=None if entity is None else read_entity(entity),
            )
        )
    return found


def _position(head: bytes | None) -> int:
    return 0 if head is None else read_head(head).position
