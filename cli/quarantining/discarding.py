"""Discarding a record: whether it may be, the command in the catalog, and waiting until it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from cli.connection import Connection
from cli.patience import patiently
from cli.quarantining.looking import Held, look, stray_at
from cli.trouble import Failed
from ledger.domain.catalog.entities import RULES_ID
from ledger.domain.catalog.events import CATALOG_TYPE_NAMES, CatalogEvent, RecordDiscarded
from ledger.domain.identifiers import catalog_command_id, content_digest, slug_id
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.discards import read_discards
from ledger.event_log.port import Topic

ACTOR: Final = "cli"
OBEYED_S: Final = 30.0
_POLL_S: Final = 0.3
_encoder: Final = msgspec.json.Encoder(order="sorted")


async def is_discarded(connected: Connection, partition: int, offset: int) -> bool:
    """Whether the log says that it is discarded. Raises `BrokerAwayError`."""
    found = await patiently(lambda: read_discards(connected.log))
    return offset in found.of(partition)


async def waits_at(
    connected: Connection, held: Sequence[Held], partition: int, offset: int
) -> list[str]:
    """Why the record may not be discarded, a reason a replica; empty where it may.

    Each has to have it set aside, as what froze a license or as a record of no license.
    """
    return [
        reason
        for one in held
        if (reason := await _forbids(connected, one, partition, offset)) is not None
    ]


async def _forbids(connected: Connection, held: Held, partition: int, offset: int) -> str | None:
    name = f"replica {held.letter}"
    if held.trouble is not None:
        return f"{name} doesn't answer ({held.trouble})"
    if held.positions.get(partition, 0) <= offset:
        return f"{name} hasn't folded so far"
    here = [one for one in held.frozen if one.partition == partition]
    if any(one.offset == offset for one in here):
        return None
    if await stray_at(connected.replicas, held, partition, offset) is not None:
        return None
    return f"{name} has no license frozen by it"


async def discard(connected: Connection, partition: int, offset: int) -> int:
    """Append the order; where it stands in the catalog. It is one command, however often asked.

    Raises `BrokerAwayError`, `LogError`.
    """
    event = _event(connected, partition, offset, (await connected.replicas.now()).time_ms)
    appended = await patiently(
        lambda: connected.log.append(
            Topic.CATALOG_EVENTS, 0, key=RULES_ID.encode(), value=encode_catalog(event)
        )
    )
    return appended.offset


async def obeyed(connected: Connection, partition: int, offset: int) -> list[Held]:
    """Wait until no replica has the record set aside any more.

    Raises `Failed` where that takes too long: then it is done later, as nothing undoes it.
    """
    given_up_at = time.monotonic() + OBEYED_S
    while True:
        held = await look(connected.replicas, connected.settings.partitions)
        late = [one.letter for one in held if await _has(connected, one, partition, offset)]
        if not late:
            return held
        if time.monotonic() > given_up_at:
            raise Failed(
                f"{partition}:{offset} is discarded, and replica {', '.join(late)} hasn't obeyed "
                f"for {OBEYED_S:.0f} s: does its projector run? (`ledger doctor`)"
            )
        await asyncio.sleep(_POLL_S)


async def _has(connected: Connection, held: Held, partition: int, offset: int) -> bool:
    return await _forbids(connected, held, partition, offset) is None or held.trouble is not None


def _event(connected: Connection, partition: int, offset: int, time_ms: int) -> CatalogEvent:
    data = RecordDiscarded(partition=partition, offset=offset)
    type_, pepper = CATALOG_TYPE_NAMES[RecordDiscarded], connected.settings.pepper
    place = f"{partition}:{offset}"
    content = b"%b %b" % (type_.encode(), _encoder.encode(data))
    return CatalogEvent(
        id=catalog_command_id(pepper, RULES_ID, ACTOR, f"{type_} {place}"),
        source=ACTOR,
        account=RULES_ID,
        subject=slug_id(connected.ledger, "discard", place),
        time_ms=time_ms,
        actor=ACTOR,
        content_digest=content_digest(pepper, content),
        data=data,
    )
