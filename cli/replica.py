"""What the commands read from a replica: licenses, sealed data keys, positions, its clock."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ledger.domain.clocks import Now, producer_now
from ledger.domain.identifiers import partition_of
from ledger.domain.license import License
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.keys import Keys
from projector.views.documents import read_head, read_license

TIMEOUT_S: Final = 2.0


class ReplicasAwayError(Exception):
    """No replica answers."""


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
                heads = await client.mget(names)
            except RedisError:
                continue
            found.append([_position(head) for head in heads])
        return found

    async def _get(self, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        for client in self._clients:
            try:
                return [cast("bytes | None", one) for one in await client.mget(list(names))]
            except RedisError:
                continue
        msg = "no replica answers (LEDGER_REPLICAS); is the system running? `ledger up` starts it"
        raise ReplicasAwayError(msg)


def _position(head: bytes | str | None) -> int:
    return read_head(head).position if isinstance(head, bytes) else 0
