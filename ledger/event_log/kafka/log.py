"""The log in Kafka: what EventLog promises, kept by a producer and a reader of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Self

from ledger.event_log.kafka.producer import Producer
from ledger.event_log.kafka.reader import Reader
from ledger.event_log.kafka.wire import Place
from ledger.event_log.port import (
    Appended,
    Headers,
    Record,
    Topic,
    Topics,
    check_size,
    check_tombstone,
)


class KafkaLog:
    """EventLog on Kafka's brokers; connects when first used, `close` it (or use `async with`).

    `bootstrap`: host:port of brokers, comma between them.
    """

    def __init__(self, bootstrap: str, topics: Topics | None = None) -> None:
        self._topics = topics or Topics()
        names = frozenset(self._topics.name(topic) for topic in Topic)
        self._producer = Producer(bootstrap, names)
        self._reader = Reader(bootstrap, names)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def append(
        self,
        topic: Topic,
        partition: int,
        *,
        key: bytes,
        value: bytes | None,
        headers: Headers = (),
    ) -> Appended:
        """See EventLog.append."""
        check_tombstone(topic, value)
        check_size(key=key, value=value, headers=headers)
        place = Place(self._topics.name(topic), partition)
        return await self._producer.append(place, key=key, value=value, headers=headers)

    async def ends(self, topic: Topic) -> dict[int, int]:
        """See EventLog.ends."""
        return await self._reader.ends(self._topics.name(topic))

    def read(
        self, topic: Topic, partition: int, *, start: int, stop: int | None = None
    ) -> AsyncIterator[Sequence[Record]]:
        """See EventLog.read."""
        place = Place(self._topics.name(topic), partition)
        return self._reader.read(place, start=start, stop=stop, contiguous=not topic.compacted)

    async def close(self) -> None:
        """See EventLog.close."""
        await self._producer.close()
        await self._reader.close()
