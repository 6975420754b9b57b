"""Where a rebuild works: the log, one replica, and what both are known by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogUnavailable, Topic, Topics
from ledger.settings import Settings
from projector.read_model.keys import CATALOG, Keys
from projector.read_model.redis import RedisReadModel
from projector.rebuild.following import Following
from projector.rebuild.lock import FORGOTTEN_S, LostLockError, held, holder
from projector.rebuild.store import Store
from projector.views.digests import weigher
from projector.views.documents import Head, read_head

ENDS_S: Final = 15.0
_TRY_S: Final = 0.25


class RebuildRefusedError(Exception):
    """What was asked can't be done as things stand; the text says why, and what can."""


class Site:
    """One replica (its number, from 0) of a ledger, and the ledger's log."""

    def __init__(self, settings: Settings, replica: int) -> None:
        self.settings = settings
        self.replica = replica
        self.log = KafkaLog(settings.kafka, Topics(prefix=settings.topic_prefix))
        self.model = RedisReadModel(settings.replicas[replica])
        self.store = Store(settings.replicas[replica])
        self.weigher = weigher(settings.pepper)

    @property
    def places(self) -> list[int]:
        """All partitions, then the catalog."""
        return [*range(self.settings.partitions), CATALOG]

    async def close(self) -> None:
        """End all connections."""
        await self.store.close()
        await self.model.close()
        await self.log.close()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be the only one who works on this replica. Raises `RebuildRefusedError`.

        It does so, too, where another one takes over since this process stood still.
        """
        try:
            async with held(self.model, wait_s=FORGOTTEN_S) as is_alone:
                if not is_alone:
                    named = await holder(self.model) or "that has just ended"
                    raise RebuildRefusedError(
                        f"another process works on a rebuild of this replica: process {named}. "
                        "`ledger rebuild status` says how far it is; wait for it, or end it first "
                        "(Ctrl-C)"
                    )
                yield
        except LostLockError as error:
            raise RebuildRefusedError(str(error)) from None

    async def heads(self, generation: str) -> dict[int, Head]:
        """Heads of a generation by place, empty where there is none."""
        names = [Keys(place, generation).head for place in self.places]
        return {
            place: Head() if one is None else read_head(one)
            for place, one in zip(self.places, await self.store.get(names), strict=True)
        }

    async def ends(self) -> dict[int, int]:
        """Where the log ends, by place; a busy broker is asked again for a while.

        Raises `LogError`.
        """
        deadline = time.monotonic() + ENDS_S
        while True:
            try:
                ends = dict(await self.log.ends(Topic.LICENSE_EVENTS))
                ends[CATALOG] = (await self.log.ends(Topic.CATALOG_EVENTS))[0]
            except LogUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_TRY_S)
            else:
                return ends

    def following(
        self, generation: str, may_go_on: Callable[[], Awaitable[None]] | None = None
    ) -> Following:
        """Return what folds a generation on; `may_go_on` holds it up."""
        return Following(
            kafka=self.settings.kafka,
            log=self.log,
            topics=Topics(prefix=self.settings.topic_prefix),
            model=self.model,
            weigher=self.weigher,
            partitions=self.settings.partitions,
            pick=lambda _: generation,
            places=self.places,
            begins=True,
            may_go_on=may_go_on,
        )
