"""What each replica has set aside, read from the generation that serves there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, cast

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cli.replica import Replicas
from projector.read_model.keys import FIRST_GENERATION, FROZEN, UNROUTABLE, Keys, serving
from projector.read_model.reasons import reason
from projector.retry_folding import Waiting, waiting
from projector.views.documents import read_head
from projector.views.set_aside import read_set_aside

UNROUTABLE_SHOWN: Final = 100
"""Of a partition."""
_PIECE: Final = 500

Scored = list[tuple[bytes, float]]


class Frozen(Struct, frozen=True, kw_only=True):
    """A frozen license in one replica.

    `offset`: of the record that it stands before. `waiting`: how many are set aside, that one
    among them. `since_ms`: the log's time of that record; None where it isn't there.
    """

    license: str
    partition: int
    offset: int
    waiting: int
    since_ms: int | None


class Stray(Struct, frozen=True, kw_only=True):
    """A record whose key is no license id of its partition, and the log's time of it."""

    partition: int
    offset: int
    since_ms: int


class Held(Struct, frozen=True, kw_only=True):
    """What one replica has set aside; `trouble`: why it doesn't say.

    `strays`: the first of each partition; `stray_count`: how many there are. `positions`: the next
    offset to fold, by partition; `generations`: what serves there.
    """

    letter: str
    trouble: str | None = None
    frozen: Sequence[Frozen] = ()
    strays: Sequence[Stray] = ()
    stray_count: int = 0
    positions: Mapping[int, int] = {}
    generations: Mapping[int, str] = {}

    def names(self, partition: int) -> Keys:
        """Keys of a partition in the generation that serves."""
        return Keys(partition, self.generations.get(partition, FIRST_GENERATION))

    def license(self, id_: str) -> Frozen | None:
        """A license as it is frozen there; None where it isn't."""
        return next((one for one in self.frozen if one.license == id_), None)


async def look(replicas: Replicas, partitions: int) -> list[Held]:
    """Ask every replica, A first."""
    letters = [chr(ord("A") + number) for number in range(len(replicas.clients))]
    return list(
        await asyncio.gather(
            *(
                _look(letter, client, range(partitions))
                for letter, client in zip(letters, replicas.clients, strict=True)
            )
        )
    )


async def records_of(replicas: Replicas, held: Held, partition: int, under: str) -> list[Waiting]:
    """All records that a replica has set aside of a license, or `UNROUTABLE`."""
    client = replicas.clients[ord(held.letter) - ord("A")]
    found = await client.zrange(held.names(partition).set_aside(under), 0, -1, withscores=True)
    return waiting([(member, int(score)) for member, score in cast("Scored", found)])


async def stray_at(replicas: Replicas, held: Held, partition: int, offset: int) -> Waiting | None:
    """A record of no license at an offset; None where a replica has none set aside there."""
    client = replicas.clients[ord(held.letter) - ord("A")]
    name = held.names(partition).set_aside(UNROUTABLE)
    found = cast("list[bytes]", await client.zrangebyscore(name, offset, offset))
    return next(iter(waiting([(member, offset) for member in found])), None)


async def _look(letter: str, client: Redis, partitions: Sequence[int]) -> Held:
    try:
        return await _held(letter, client, partitions)
    except RedisError as error:
        return Held(letter=letter, trouble=reason(error))


async def _held(letter: str, client: Redis, partitions: Sequence[int]) -> Held:
    pointers = await client.mget([serving(partition) for partition in partitions])
    generations = {
        partition: (pointer or FIRST_GENERATION.encode()).decode()
        for partition, pointer in zip(partitions, cast("list[bytes | None]", pointers), strict=True)
    }
    names = {partition: Keys(partition, one) for partition, one in generations.items()}
    pipeline = client.pipeline(transaction=False)
    for keys in names.values():
        pipeline.get(keys.head)
        pipeline.zrange(keys.set_aside(FROZEN), 0, -1, withscores=True)
        pipeline.zrange(keys.set_aside(UNROUTABLE), 0, UNROUTABLE_SHOWN - 1)
        pipeline.zcard(keys.set_aside(UNROUTABLE))
    found = await pipeline.execute()
    positions, frozen, strays, count = {}, [], [], 0
    for number, keys in enumerate(names.values()):
        head, listed, members, stray_count = found[4 * number : 4 * number + 4]
        positions[keys.partition] = 0 if head is None else read_head(head).position
        frozen += [(keys, member.decode(), int(score)) for member, score in listed]
        strays += [_stray(keys.partition, member) for member in members]
        count += stray_count
    return Held(
        letter=letter,
        frozen=await _counted(client, frozen),
        strays=strays,
        stray_count=count,
        positions=positions,
        generations=generations,
    )


async def _counted(client: Redis, frozen: Sequence[tuple[Keys, str, int]]) -> list[Frozen]:
    counted: list[Frozen] = []
    for at in range(0, len(frozen), _PIECE):
        piece = frozen[at : at + _PIECE]
        pipeline = client.pipeline(transaction=False)
        for keys, license_, offset in piece:
            pipeline.zcard(keys.set_aside(license_))
            pipeline.zrangebyscore(keys.set_aside(license_), offset, offset)
        found = await pipeline.execute()
        for number, (keys, license_, offset) in enumerate(piece):
            count, members = found[2 * number : 2 * number + 2]
            counted.append(
                Frozen(
                    license=license_,
                    partition=keys.partition,
                    offset=offset,
                    waiting=count,
                    since_ms=read_set_aside(members[0]).timestamp_ms if members else None,
                )
            )
    return sorted(counted, key=lambda one: (one.partition, one.offset))


def _stray(partition: int, member: bytes) -> Stray:
    record = read_set_aside(member)
    return Stray(partition=partition, offset=record.offset, since_ms=record.timestamp_ms)
