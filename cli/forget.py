"""Forgetting: erase what is sealed for a license, and see that every replica obeys.

docs/operations/secrets.md, "Erasing", says what that is and when it is complete.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from cli.connection import connected
from cli.patience import patiently
from ledger.domain.identifiers import is_id, license_id, slug_id
from ledger.event_log.port import EventLog
from ledger.sealing.erasure import Erasure, erase
from ledger.sealing.records import ERASED
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.reasons import reason

REPLICAS_TIMEOUT_S: Final = 15.0
"""How long the replicas have to show the erasure; a projector that restarts needs about 7 s."""

_CALL_TIMEOUT_S: Final = 2.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaErasure:
    """Whether a replica ("A", "B") shows the erasure; where not, `trouble` says why, for people."""

    replica: str
    erased: bool
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was done to which license, and where it shows. No data keys: there is no such license.

    `erasure.left_in_log` above 0: Kafka still holds them sealed, until it has compacted; run it
    again 24 h later.
    """

    license: str
    erasure: Erasure
    replicas: tuple[ReplicaErasure, ...]

    @property
    def known(self) -> bool:
        """Whether the log has any data key of the license, erased or not."""
        return bool(self.erasure.data_keys)

    @property
    def complete_for_readers(self) -> bool:
        """Whether every replica shows the erasure."""
        return all(replica.erased for replica in self.replicas)


async def forget(
    settings: Settings, license_or_key: str, *, timeout_s: float = REPLICAS_TIMEOUT_S
) -> Forgotten:
    """Erase all that is sealed for a license, named by id or key, and wait for the replicas.

    Waits at most `timeout_s` for them. Running it again is safe. Raises `LogError` (among them
    `ForeignLog`) and `ErasureUnfinishedError`.
    """
    async with connected(settings) as connection:
        candidates = licenses_named(settings, connection.ledger, license_or_key)
        erasure = await erase_first(connection.log, candidates, partitions=settings.partitions)
    replicas = await await_replicas(settings.replicas, erasure, timeout_s=timeout_s)
    return Forgotten(license=erasure.license, erasure=erasure, replicas=replicas)


def licenses_named(settings: Settings, ledger: str, license_or_key: str) -> tuple[str, ...]:
    """Ids that the text may mean, the likeliest first: an id is tried before a key."""
    account = slug_id(ledger, "account", settings.catalog.account)
    of_key = license_id(settings.pepper, account, license_or_key)
    lower = license_or_key.lower()
    return (lower, of_key) if is_id(lower) else (of_key,)


async def erase_first(log: EventLog, candidates: Sequence[str], *, partitions: int) -> Erasure:
    """Erase the first of the licenses that the log knows; that of the last if it knows none."""
    for candidate in candidates:
        erasure = await patiently(partial(erase, log, candidate, partitions=partitions))
        if erasure.data_keys:
            break
    return erasure


async def await_replicas(
    urls: Sequence[str], erasure: Erasure, *, timeout_s: float
) -> tuple[ReplicaErasure, ...]:
    """Wait until each replica shows every data key erased; at most `timeout_s` for all of them."""
    names = [keys.data_key(erasure.partition, erasure.license, dk) for dk in erasure.data_keys]
    waiting = [
        _await_replica(chr(ord("A") + number), url, names, timeout_s)
        for number, url in enumerate(urls)
    ]
    return tuple(await asyncio.gather(*waiting))


async def _await_replica(
    replica: str, url: str, names: Sequence[str], timeout_s: float
) -> ReplicaErasure:
    if not names:
        return ReplicaErasure(replica=replica, erased=True)
    client = Redis.from_url(
        url,
        socket_timeout=_CALL_TIMEOUT_S,
        socket_connect_timeout=_CALL_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    # By the clock, not by a cancelled call: each ends by itself, after `_CALL_TIMEOUT_S` at most.
    until = time.monotonic() + timeout_s
    try:
        while (trouble := await _trouble(client, names)) is not None:
            if time.monotonic() >= until:
                trouble = f"{trouble} (after {timeout_s:g} s)"
                break
            await asyncio.sleep(_POLL_S)
        return ReplicaErasure(replica=replica, erased=trouble is None, trouble=trouble)
    finally:
        await client.aclose()


async def _trouble(client: Redis, names: Sequence[str]) -> str | None:
    try:
        values = await client.mget(list(names))
    except (RedisError, OSError) as error:
        # Not its own text: that may have the address with a password in it.
        return f"it can't be reached: {reason(error)}"
    left = sum(value != ERASED for value in values)
    if not left:
        return None
    return f"{left} of {len(names)} data keys are not erased there: does its projector run?"
