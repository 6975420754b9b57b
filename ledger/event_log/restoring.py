"""Putting records back into Kafka as they were, with their timestamps (docs/operations/backup.md).

A topic under restore has `message.timestamp.type=CreateTime`, so that the broker keeps what it is
given; once all is there and compared it gets the config that a ledger's topic has. Nothing but a
restore writes so: `topics.py` makes a ledger's topics, `producer.py` appends to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from ledger.connections import KafkaBrokers
from ledger.event_log.clients import Starts, why_refused
from ledger.event_log.port import LogError, LogUnavailable, MissingTopic, Record, Topic, Topics
from ledger.event_log.producer import dispose
from ledger.event_log.topics import TOO_MANY_COPIES, Described, topic_config

GO_ON: Final = "run `ledger restore` again, it goes on where it was"
GO_ON_LOCALLY: Final = "run `ledger up --restore FOLDER` again, it goes on where it was"
LOG_APPEND_TIME: Final = "LogAppendTime"
_CREATE_TIME: Final = "CreateTime"
T = TypeVar("T")

_TIMESTAMPS: Final = "message.timestamp.type"
_START_TIMEOUT_S: Final = 5.0
_ASK_TIMEOUT_S: Final = 30.0
_APPEND_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_BATCH_BYTES_MAX: Final = 512 * 1024
_FOR_EVER: Final = str(2**63 - 1)
_ALREADY_THERE: Final = 36
_PASSING: Final = frozenset({5, 7, 41})
"""No leader, too slow, not the controller."""


class NotMade(LogError):
    """The brokers refuse to make a topic or to alter its config; asking again changes nothing."""


class Misplaced(Exception):
    """A record was stored at another offset than it had: something else writes to the topic."""


class Restorer:
    """Makes topics, and appends records to them with their own timestamps; then `close`.

    `copies`: on how many brokers a record of a topic lies that is made.
    """

    def __init__(self, kafka: KafkaBrokers, topics: Topics, partitions: int, copies: int) -> None:
        self._brokers = kafka
        self._topics = topics
        self._count = partitions
        self._copies = copies
        self._starts = Starts(kafka)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def found(self) -> dict[Topic, str]:
        """The topics that are there, and their timestamp type.

        Raises `MissingTopic` where one has another number of partitions, `LogUnavailable`.
        """
        return await self._asked(self._found)

    async def make(self, topic: Topic) -> None:
        """Make a topic that takes timestamps, or have one that is there take them."""
        await self._asked(partial(self._make, topic))

    async def open(self, topic: Topic) -> None:
        """Give a topic a ledger's config: from now on timestamps are the broker's."""
        await self._asked(partial(self._open, topic))

    async def append(self, topic: Topic, partition: int, records: Sequence[Record]) -> None:
        """Append records that follow each other, each at its offset; return once they are stored.

        Raises `LogUnavailable` (some may be stored), `Misplaced`.
        """
        name, left = self._topics.name(topic), list(records)
        while left:
            producer = await self._started()
            batch, taken = producer.create_batch(), 0
            for one in left:
                full = batch.append(
                    timestamp=one.timestamp_ms, key=one.key, value=one.value, headers=[*one.headers]
                )
                if full is None:
                    break
                taken += 1
            offset = await self._stored(producer, name, partition, batch)
            if offset != left[0].offset:
                raise Misplaced(
                    f"{topic}, partition {partition}: the record of offset {left[0].offset} was "
                    f"stored at {offset}, so something else writes there. Stop it, delete the "
                    "topics, and restore again"
                )
            left = left[taken:]

    async def close(self) -> None:
        """Let go of the connections, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await dispose(producer)
        await self._starts.close()

    async def _stored(
        self, producer: AIOKafkaProducer, name: str, partition: int, batch: object
    ) -> int:
        try:
            async with asyncio.timeout(_APPEND_TIMEOUT_S):
                future = await producer.send_batch(batch, name, partition=partition)
                return int((await future).offset)
        except (KafkaError, OSError, TimeoutError, AssertionError):  # it asserts its metadata
            # What it holds of other partitions fails as well; each looks what is stored.
            if self._producer is producer:
                self._producer = None
                await dispose(producer)
            raise LogUnavailable(
                f"{self._brokers.named} did not acknowledge what is restored"
            ) from None

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._brokers.arguments(),
                    acks="all",
                    enable_idempotence=True,
                    max_batch_size=_BATCH_BYTES_MAX,
                    request_timeout_ms=int(_APPEND_TIMEOUT_S * 1000),
                    retry_backoff_ms=50,
                )
                try:
                    async with asyncio.timeout(_START_TIMEOUT_S):
                        await self._starts.start(producer, partial(dispose, producer))
                except (KafkaError, OSError, TimeoutError):
                    raise LogUnavailable(f"{self._brokers.named} takes no producer") from None
                self._producer = producer
            return self._producer

    async def _found(self, admin: AIOKafkaAdminClient) -> dict[Topic, str]:
        partitions = await self._partitions(admin)
        for topic, count in partitions.items():
            wanted = topic.partition_count(self._count)
            if count != wanted:
                raise MissingTopic(
                    f"{self._topics.name(topic)} has {count} partitions, and the backup has "
                    f"{wanted}: it is no topic of this ledger. Restore into an empty cluster"
                )
        return {topic: await self._type(admin, topic) for topic in partitions}

    async def _partitions(self, admin: AIOKafkaAdminClient) -> dict[Topic, int]:
        names = {self._topics.name(topic): topic for topic in Topic}
        described = await admin.describe_topics(list(names))
        return {
            names[one["topic"]]: len(one["partitions"]) for one in described if one["partitions"]
        }

    async def _type(self, admin: AIOKafkaAdminClient, topic: Topic) -> str:
        name = self._topics.name(topic)
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        for _, _, _, _, entries in (one for answer in answers for one in answer.resources):
            for entry in entries:
                if entry[0] == _TIMESTAMPS:
                    return str(entry[1])
        return ""

    async def _make(self, topic: Topic, admin: AIOKafkaAdminClient) -> None:
        name = self._topics.name(topic)
        config = _config_under_restore(topic, self._copies)
        new = NewTopic(
            name=name,
            num_partitions=topic.partition_count(self._count),
            replication_factor=self._copies,
            topic_configs=config,
        )
        for _, code, *why in (await admin.create_topics([new])).topic_errors:
            if code == _ALREADY_THERE:
                await self._alter(admin, topic, config)
            elif code == TOO_MANY_COPIES:
                raise NotMade(
                    f"{name} was not made: fewer than {self._copies} brokers are there for its "
                    f"{self._copies} copies; start the others, or make do with fewer (`--copies 1`)"
                )
            elif code:
                raise _refused(code, f"{name} was not made: {(why and why[0]) or code}")
        await self._has(admin, topic, _CREATE_TIME)

    async def _open(self, topic: Topic, admin: AIOKafkaAdminClient) -> None:
        [described] = await admin.describe_topics([self._topics.name(topic)])
        copies = len(described["partitions"][0]["replicas"])
        await self._alter(admin, topic, topic_config(topic, copies))
        await self._has(admin, topic, LOG_APPEND_TIME)

    async def _alter(
        self, admin: AIOKafkaAdminClient, topic: Topic, config: dict[str, str]
    ) -> None:
        """Give a topic a config in place of the one that it has."""
        name = self._topics.name(topic)
        resource = ConfigResource(ConfigResourceType.TOPIC, name, config)
        for answer in await admin.alter_configs([resource]):
            for code, why, *_ in answer.resources:
                if code:
                    raise _refused(code, f"the config of {name} was not altered: {why or code}")

    async def _has(self, admin: AIOKafkaAdminClient, topic: Topic, wanted: str) -> None:
        """Wait until a broker tells that the topic has this type of timestamps."""
        while True:
            there = topic in await self._partitions(admin)
            if there and await self._type(admin, topic) == wanted:
                return
            await asyncio.sleep(_POLL_S)

    async def _asked(self, question: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        admin = AIOKafkaAdminClient(**self._brokers.arguments())
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                await admin.start()
                return await question(admin)
        except (KafkaError, OSError, TimeoutError) as error:
            reason = await why_refused(self._brokers) or type(error).__name__
            raise LogUnavailable(
                f"{self._brokers.named} does not make or alter topics: {reason}"
            ) from None
        finally:
            await admin.close()


def half_restored(described: Described) -> str | None:
    """What to say of topics that take others' times; None where none does."""
    for name, differing in described.differing.items():
        if differing.get(_TIMESTAMPS) == _CREATE_TIME:
            return f"{name} takes timestamps: a restore did not come to its end"
    return None


def _refused(code: int, said: str) -> LogError:
    kind: type[LogError] = LogUnavailable if code in _PASSING else NotMade
    return kind(said)


def _config_under_restore(topic: Topic, copies: int) -> dict[str, str]:
    """A config that keeps times of any age, and takes nothing away.

    Files end by size alone: by the records' own times each day of the past would be one.
    """
    config = topic_config(topic, copies) | {
        _TIMESTAMPS: _CREATE_TIME,
        "message.timestamp.before.max.ms": _FOR_EVER,
        "message.timestamp.after.max.ms": _FOR_EVER,
        "segment.ms": _FOR_EVER,
    }
    if topic.compacted:
        del config["max.compaction.lag.ms"]
        config["min.compaction.lag.ms"] = _FOR_EVER
    return config
