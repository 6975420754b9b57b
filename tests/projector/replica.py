"""A replica under test: topics of its own on a broker, a real Redis, real projector processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httpx
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cli.patience import patiently
from ledger.domain.identifiers import Pepper
from ledger.event_log import genesis
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic, Topics
from ledger.event_log.topics import create_topics
from projector.read_model.keys import CATALOG, FIRST_GENERATION, Keys
from projector.views.documents import Head, read_head
from tests.activity import Activity, Appendable, Record, append
from tests.ports import free_ports
from tests.projector.independent import Stored, independent_fold, stored_in_redis
from tests.projector.independent_catalog import independent_catalog
from tests.servers import ROOT, KafkaServer, RedisServer, Server

PEPPER = "5e" * 32
PARTITIONS = 4
LIMIT_S = 60.0


class ProjectorProcess(Server):
    """`python -m projector` in a process of its own."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        (port,) = free_ports(1)
        super().__init__(directory, port=port, env={**env, "LEDGER_METRICS_PORT": str(port)})
        self.module = "projector"

    def _prepare(self) -> list[str]:
        return [sys.executable, "-m", self.module]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
        return {**kept, "PYTHONPATH": str(ROOT)}

    def is_ready(self) -> bool:
        try:
            return self.get("/health/ready").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=2, trust_env=False)

    def metric(self, name: str) -> float:
        """Sum of a metric over its labels; 0 where it has none."""
        lines = self.get("/metrics").text.splitlines()
        assert any(line.startswith(f"# HELP {name.removesuffix('_total')}") for line in lines), name
        found = [line.rpartition(" ")[2] for line in lines if line.startswith(name)]
        return sum(float(value) for value in found)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM), without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    def exit_code(self, *, timeout_s: float = LIMIT_S) -> int:
        """Wait until it has ended by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")


class Replica:
    """A ledger's topics and one replica of it; `start` projectors on its slots."""

    def __init__(self, kafka: KafkaServer, store: RedisServer, prefix: str, folder: Path) -> None:
        self.kafka = kafka
        self.store = store
        self.topics = Topics(prefix=prefix)
        self.events = self.topics.name(Topic.LICENSE_EVENTS)
        self.data_keys = self.topics.name(Topic.LICENSE_DATA_KEYS)
        self.catalog = self.topics.name(Topic.CATALOG_EVENTS)
        self.generation = FIRST_GENERATION
        self._folder = folder
        self._processes: list[ProjectorProcess] = []

    @property
    def environment(self) -> dict[str, str]:
        """Settings of the ledger."""
        return {
            "LEDGER_KAFKA": self.kafka.bootstrap,
            "LEDGER_REPLICAS": self.store.url,
            "LEDGER_PARTITIONS": str(PARTITIONS),
            "LEDGER_TOPIC_PREFIX": self.topics.prefix,
            "LEDGER_PEPPER": PEPPER,
            "LEDGER_SEAL_KEYS": f"k1:{'5e' * 32}",
            "LEDGER_LOCAL": "1",
        }

    async def initialize(self) -> None:
        """Make the topics and their genesis records."""
        await create_topics(self.kafka.bootstrap, partitions=PARTITIONS, topics=self.topics)
        log = KafkaLog(self.kafka.bootstrap, self.topics)
        try:
            check = Pepper(bytes.fromhex(PEPPER)).check_value
            await patiently(
                lambda: genesis.initialize(log, pepper_check=check, partitions=PARTITIONS)
            )
        finally:
            await log.close()

    def projector(
        self, slot: int = 0, *, changes: Mapping[str, str] | None = None
    ) -> ProjectorProcess:
        """A projector, not started yet."""
        env = {
            **self.environment,
            "LEDGER_REPLICA": "A",
            "LEDGER_SLOT": str(slot),
            **(changes or {}),
        }
        process = ProjectorProcess(self._folder / f"projector-{len(self._processes)}", env)
        self._processes.append(process)
        return process

    async def start(self, slot: int = 0, *, wait: bool = True) -> ProjectorProcess:
        """Start a projector; by default until it is ready."""
        process = self.projector(slot)
        await asyncio.to_thread(process.start, wait=wait)
        return process

    async def append(self, items: Sequence[Appendable], topic: str | None = None) -> None:
        """Append to the log."""
        await append(self.kafka.bootstrap, topic or self.events, items)

    async def heads(self) -> list[Head]:
        """Heads of all partitions, empty where there is none or Redis doesn't answer."""
        names = [Keys(partition, self.generation).head for partition in range(PARTITIONS)]
        try:
            async with redis.asyncio.Redis.from_url(self.store.url, socket_timeout=2) as client:
                documents = await client.mget(names)
        except redis.RedisError:
            documents = [None] * PARTITIONS
        return [
            Head() if document is None else read_head(cast("bytes", document))
            for document in documents
        ]

    async def ends(self) -> list[int]:
        """Where the partitions of license-events end."""
        log = KafkaLog(self.kafka.bootstrap, self.topics)
        try:
            ends = await log.ends(Topic.LICENSE_EVENTS)
            return [ends[partition] for partition in range(PARTITIONS)]
        finally:
            await log.close()

    async def level(self) -> None:
        """Wait until all partitions are folded to the log's end."""
        ends = await self.ends()

        async def reached() -> bool:
            return [head.position for head in await self.heads()] == ends

        await eventually(reached, what=lambda: f"level at {ends}")

    async def assert_equals_an_independent_fold(
        self, discarded: Mapping[int, Collection[int]] | None = None
    ) -> None:
        """Wait until level, then compare every byte that the replica holds.

        `discarded`: offsets by partition that every fold leaves out.
        """
        await self.level()
        for partition in range(PARTITIONS):
            log = await read_all(self.kafka, self.events, partition)
            expected = independent_fold(
                log,
                partition,
                PARTITIONS,
                Pepper(bytes.fromhex(PEPPER)),
                discarded=(discarded or {}).get(partition, ()),
            )
            found = await asyncio.to_thread(
                stored_in_redis, self.store.url, partition, self.generation
            )
            assert found == expected, _difference(found, expected)

    async def assert_catalog_equals_an_independent_fold(self) -> None:
        """Wait until the catalog is level, then compare every byte that the replica holds of it."""
        log = await read_all(self.kafka, self.catalog, 0)
        head = Keys(CATALOG).head

        async def reached() -> bool:
            async with redis.asyncio.Redis.from_url(self.store.url, socket_timeout=2) as client:
                document = await client.get(head)
            return isinstance(document, bytes) and read_head(document).position == len(log)

        await eventually(reached, what=f"the catalog level at {len(log)}")
        found = await asyncio.to_thread(stored_in_redis, self.store.url, CATALOG)
        expected = independent_catalog(log, Pepper(bytes.fromhex(PEPPER)))
        assert found == expected, _difference(found, expected)

    def kill_all(self) -> None:
        for process in self._processes:
            process.kill()


@asynccontextmanager
async def load(replica: Replica, activity: Activity, *, piece: int = 40) -> AsyncIterator[None]:
    """Append without a pause while the block runs."""
    producer = AIOKafkaProducer(
        bootstrap_servers=replica.kafka.bootstrap, acks="all", enable_idempotence=True
    )
    await producer.start()

    async def go_on() -> None:
        while True:
            for item in activity.appendables(piece):
                await producer.send(
                    replica.events, item.value, key=item.key, partition=item.partition
                )
            await asyncio.sleep(0.02)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(producer.stop(), LIMIT_S)


@asynccontextmanager
async def replica_on(
    kafka: KafkaServer, store: RedisServer, prefix: str, folder: Path
) -> AsyncIterator[Replica]:
    """An initialized replica; its processes end with the block."""
    replica = Replica(kafka, store, prefix, folder)
    try:
        await replica.initialize()
        yield replica
    finally:
        replica.kill_all()


async def eventually(
    condition: Callable[[], Awaitable[bool]],
    *,
    what: str | Callable[[], str],
    timeout_s: float = LIMIT_S,
) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {timeout_s} s: {told}")
        await asyncio.sleep(0.02)


async def read_all(kafka: KafkaServer, topic: str, partition: int) -> list[Record]:
    """The partition's records, read without any code of the projector or the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        end = (await consumer.end_offsets([place]))[place]
        consumer.assign([place])
        consumer.seek(place, 0)
        found: list[Record] = []
        async with asyncio.timeout(LIMIT_S):
            while len(found) < end:
                batches = await consumer.getmany(timeout_ms=500)
                found += [
                    Record(offset=it.offset, timestamp=it.timestamp, key=it.key, value=it.value)
                    for it in batches.get(place, [])
                ]
        return found
    finally:
        await consumer.stop()


def _difference(found: Stored, expected: Stored) -> str:
    names = sorted({*found, *expected})
    different = [name for name in names if found.get(name) != expected.get(name)]
    return "\n".join(
        f"{name}:\n  found    {found.get(name)!r:.300}\n  expected {expected.get(name)!r:.300}"
        for name in different[:5]
    )
