"""A small ledger's log in Kafka, and what can be done to it that nobody should do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from cli.patience import patiently
from ledger.event_log.genesis import initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Record, Topic, Topics
from ledger.event_log.topics import create_topics
from ledger.settings import Settings, read_settings

EVENTS: Final = Topic.LICENSE_EVENTS
PARTITIONS: Final = 4


class Damaged:
    """The log of the settings `env`; each method does its work and returns."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = dict(env)
        self.settings: Settings = read_settings(env)
        self._kafka = self.settings.kafka.bootstrap
        self._topics = Topics(prefix=self.settings.topic_prefix)

    def initialize(self) -> str:
        """Make topics and genesis; the ledger's id."""

        async def work() -> str:
            await create_topics(self._kafka, partitions=PARTITIONS, topics=self._topics)
            async with self._log() as log:
                check = self.settings.pepper.check_value
                made = partial(initialize, log, pepper_check=check, partitions=PARTITIONS)
                return (await patiently(made)).ledger

        return asyncio.run(work())

    def append(self, partition: int, count: int, topic: Topic = EVENTS) -> None:
        """Append so many records."""

        async def work() -> None:
            async with self._log() as log:
                for at in range(count):
                    value = b"%d" % at
                    await patiently(partial(log.append, topic, partition, key=b"k", value=value))

        asyncio.run(work())

    def records(self, topic: Topic = EVENTS) -> dict[int, list[Record]]:
        """All records of a topic, by partition."""

        async def work() -> dict[int, list[Record]]:
            async with self._log() as log:
                found: dict[int, list[Record]] = {}
                for partition in await patiently(partial(log.ends, topic)):
                    found[partition] = [
                        one async for batch in log.read(topic, partition, start=0) for one in batch
                    ]
                return found

        return asyncio.run(work())

    def remake(self, topic: Topic, records: Mapping[int, Sequence[Record]]) -> None:
        """Delete the topic and make it anew of these records, with their times."""
        name = self._topics.name(topic)

        async def work() -> None:
            await self._delete(name)
            async with self._admin() as admin:
                config = {"message.timestamp.type": "CreateTime"}
                new = NewTopic(name, len(records), 1, topic_configs=config)
                await admin.create_topics([new])
            producer = AIOKafkaProducer(bootstrap_servers=self._kafka)
            await producer.start()
            try:
                for partition, each in records.items():
                    for one in each:
                        await producer.send_and_wait(
                            name,
                            value=one.value,
                            key=one.key,
                            partition=partition,
                            timestamp_ms=one.timestamp_ms,
                        )
            finally:
                await producer.stop()

        asyncio.run(work())

    def delete(self, topic: Topic) -> None:
        """Delete a topic."""
        asyncio.run(self._delete(self._topics.name(topic)))

    def forget_before(self, partition: int, offset: int) -> None:
        """Delete the first records of a partition (Kafka's DeleteRecords)."""

        async def work() -> None:
            where = TopicPartition(self._topics.name(EVENTS), partition)
            async with self._admin() as admin:
                await admin.delete_records({where: RecordsToDelete(before_offset=offset)})

        asyncio.run(work())

    async def _delete(self, name: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([name])
            while name in await admin.list_topics():
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    @asynccontextmanager
    async def _log(self) -> AsyncIterator[KafkaLog]:
        log = KafkaLog(self._kafka, self._topics)
        try:
            yield log
        finally:
            await log.close()
