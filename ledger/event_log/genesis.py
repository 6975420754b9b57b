"""Genesis: the first record of every partition says whose ledger this is.

Every process compares it at its start and refuses to run on a foreign log, another N or another
pepper, which would turn every check into NOT_FOUND (docs/format.md, "Topics").
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from ledger.domain.events import Digest, Id
from ledger.event_log.port import (
    FOLDED,
    EventLog,
    ForeignLog,
    LostRecords,
    NotInitialized,
    Topic,
)

RECORD_KEY: Final = b"genesis"
TYPE: Final = "ledger.genesis"
_AT_ONCE: Final = 8


class Genesis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a genesis record says. `pepper_check`: `Pepper.check_value`, which tells no pepper."""

    ledger: Id
    partition: int
    partitions: int
    pepper_check: Digest


class _Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    specversion: str
    id: Id
    source: str
    type: str
    subject: Id
    datacontenttype: str
    data: Genesis


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(_Envelope)


def encode(genesis: Genesis) -> bytes:
    """Bytes of a genesis record's value; the same each time."""
    return _encoder.encode(
        _Envelope(
            specversion="1.0",
            id=genesis.ledger,
            source="ledger",
            type=TYPE,
            subject=genesis.ledger,
            datacontenttype="application/json",
            data=genesis,
        )
    )


def decode(value: bytes | None) -> Genesis:
    """Genesis of a record's value; raises ForeignLog for anything else."""
    try:
        return _decoder.decode(value or b"").data
    except (msgspec.DecodeError, UnicodeDecodeError):
        msg = "the log does not begin with a genesis record: it is not a ledger's"
        raise ForeignLog(msg) from None


async def initialize(log: EventLog, *, pepper_check: str, partitions: int) -> Genesis:
    """Append the genesis records that are missing; safe to run again, and twice at once.

    The first record of the events' first partition settles the ledger's id, whoever wrote it.
    Raises ForeignLog where records stand that are not this ledger's, LostRecords where a partition
    is empty though the ledger was in use; of a topic that came later (not in `FOLDED`) that can't
    be told from a ledger that had none.
    """
    first = await _settled(log, pepper_check, partitions)
    for topic in Topic:
        ends = await log.ends(topic)
        empty = [partition for partition in sorted(ends) if ends[partition] == 0]
        if empty and topic in FOLDED and await _in_use(log):
            raise LostRecords(
                f"{topic}, partition {empty[0]}, is empty, and the ledger has events: its records "
                "are lost (was the topic deleted?); restore them, nothing else brings them back"
            )
        for at in range(0, len(empty), _AT_ONCE):
            missing = [
                msgspec.structs.replace(first, partition=partition)
                for partition in empty[at : at + _AT_ONCE]
            ]
            await _all(_append(log, topic, own) for own in missing)
    return await verify(log, pepper_check=pepper_check, partitions=partitions, topics=tuple(Topic))


async def verify(
    log: EventLog, *, pepper_check: str, partitions: int, topics: Sequence[Topic] = FOLDED
) -> Genesis:
    """Compare every partition's genesis with what this process was told; return the first's.

    `topics`: those that there is no ledger without; who uses another one compares its genesis.

    Raises ForeignLog naming the thing, the value and the way out, and what reading raises.
    """
    first = await read_genesis(log, Topic.LICENSE_EVENTS, 0)
    check(first, pepper_check=pepper_check, partitions=partitions)
    limit = asyncio.Semaphore(_AT_ONCE)

    async def compare(topic: Topic, partition: int) -> None:
        async with limit:
            found = await read_genesis(log, topic, partition)
        if found != msgspec.structs.replace(first, partition=partition):
            msg = (
                f"{topic}, partition {partition}, belongs to ledger {found.ledger}, and the first "
                f"partition to {first.ledger}: topics of two ledgers are mixed; restore the right "
                "ones"
            )
            raise ForeignLog(msg)

    for topic in topics:
        ends = await log.ends(topic)
        if len(ends) != topic.partition_count(partitions):
            msg = f"{topic} has {len(ends)} partitions, its genesis says {first.partitions}"
            raise ForeignLog(msg)
        await _all(compare(topic, partition) for partition in ends)
    return first


def check(genesis: Genesis, *, pepper_check: str, partitions: int) -> None:
    """Compare one genesis with what this process was told; raises ForeignLog."""
    if genesis.partitions != partitions:
        msg = (
            f"the ledger has {genesis.partitions} partitions, and LEDGER_PARTITIONS says "
            f"{partitions}: set it to {genesis.partitions}; it is fixed for the ledger's life"
        )
        raise ForeignLog(msg)
    if genesis.pepper_check != pepper_check:
        msg = (
            f"LEDGER_PEPPER is not the pepper of ledger {genesis.ledger}: every check would say "
            "NOT_FOUND. Set the one that the ledger was made with; it is kept with the backups"
        )
        raise ForeignLog(msg)


async def read_genesis(log: EventLog, topic: Topic, partition: int) -> Genesis:
    """Return a partition's genesis: at offset 0, in the compacted topic the one with its key."""
    stop = None if topic.compacted else 1
    async with aclosing(log.read(topic, partition, start=0, stop=stop)) as batches:
        async for batch in batches:
            for record in batch:
                if record.key == RECORD_KEY:
                    return decode(record.value)
                if not topic.compacted:
                    return decode(None)
    if topic.compacted or (await log.ends(topic)).get(partition) == 0:
        msg = f"{topic}, partition {partition}, has no genesis record; `ledger init` writes it"
        raise NotInitialized(msg)
    msg = f"{topic}, partition {partition}, has lost its first record"
    raise LostRecords(msg)


async def _settled(log: EventLog, pepper_check: str, partitions: int) -> Genesis:
    if (await log.ends(Topic.LICENSE_EVENTS)).get(0) == 0:
        own = Genesis(
            ledger=str(uuid4()), partition=0, partitions=partitions, pepper_check=pepper_check
        )
        await _append(log, Topic.LICENSE_EVENTS, own)
    first = await read_genesis(log, Topic.LICENSE_EVENTS, 0)
    check(first, pepper_check=pepper_check, partitions=partitions)
    return first


async def has_events(log: EventLog, topic: Topic) -> bool:
    """Whether anything but genesis records stands in the topic; raises what reading raises."""
    for partition, end in (await log.ends(topic)).items():
        if end > 1:
            async with aclosing(log.read(topic, partition, start=0)) as batches:
                async for batch in batches:
                    if any(record.key != RECORD_KEY for record in batch):
                        return True
    return False


async def _in_use(log: EventLog) -> bool:
    """Whether anything but genesis records stands in the event topics."""
    events = await has_events(log, Topic.LICENSE_EVENTS)
    return events or await has_events(log, Topic.CATALOG_EVENTS)


async def _all(steps: Iterable[Coroutine[None, None, None]]) -> None:
    """Take the steps side by side, to the end of each; then raise what the first one raised."""
    for one in await asyncio.gather(*steps, return_exceptions=True):
        if one is not None:
            raise one


async def _append(log: EventLog, topic: Topic, genesis: Genesis) -> None:
    await log.append(topic, genesis.partition, key=RECORD_KEY, value=encode(genesis))
