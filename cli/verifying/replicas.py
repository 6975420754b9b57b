"""What the replicas have folded: their heads, as witnesses of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cli.replica import Replicas
from cli.verifying.reading import Place
from ledger.checkpoints.comparing import Known
from ledger.checkpoints.document import Mark
from ledger.event_log import chain
from ledger.event_log.port import Topic
from ledger.settings import Settings
from projector.read_model import keys
from projector.read_model.keys import CATALOG, FIRST_GENERATION, Keys
from projector.read_model.reasons import reason
from projector.views.documents import read_head

_ASK_S: Final = 10.0


class Held(Struct, frozen=True, kw_only=True):
    """What a replica has folded of each partition; `trouble`: why it can't be asked."""

    name: str
    known: Mapping[Place, Known] = {}
    trouble: str | None = None

    @property
    def records(self) -> int:
        """How many records it has folded."""
        return sum(one.mark.position for one in self.known.values())


async def held(settings: Settings) -> list[Held]:
    """Ask every replica at once; bounded in time."""
    replicas = Replicas(settings)
    try:
        return await asyncio.gather(
            *(
                _ask(f"replica {chr(ord('A') + number)}", client, settings.partitions)
                for number, client in enumerate(replicas.clients)
            )
        )
    finally:
        await replicas.close()


async def _ask(name: str, client: Redis, partitions: int) -> Held:
    # The catalog's comes last: its number is -1.
    places = (*range(partitions), CATALOG)
    try:
        async with asyncio.timeout(_ASK_S):
            pointers = await client.mget([keys.serving(place) for place in places])
            serving = [
                one.decode() if isinstance(one, bytes) else FIRST_GENERATION for one in pointers
            ]
            heads = await client.mget(
                [Keys(*both).head for both in zip(places, serving, strict=True)]
            )
    except (RedisError, OSError) as error:
        # Not its own text: that may have the address with a password in it.
        return Held(name=name, trouble=reason(error))
    known = {}
    for place, document in zip(places, heads, strict=True):
        if isinstance(document, bytes):
            head = read_head(document)
            mark = Mark(
                position=head.position,
                timestamp_ms=head.timestamp_ms,
                chain=chain.from_text(head.chain).hex(),
            )
            topic = Topic.CATALOG_EVENTS if place == CATALOG else Topic.LICENSE_EVENTS
            known[topic, max(place, 0)] = Known(witness=name, mark=mark)
    return Held(name=name, known=known)
