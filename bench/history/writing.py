"""Writing a history into Kafka: partition by partition, in the order of time, in big batches."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Any, Final
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bench.history.history import History, Row
from bench.history.plans import Whose
from bench.history.shapes import Size
from cli.patience import patiently
from ledger.event_log import genesis
from ledger.event_log.catalog_codec import encode_catalog
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import Topic, Topics
from ledger.event_log.seeding import seed_catalog
from ledger.event_log.topics import create_topics, topic_config
from ledger.settings import Settings, read_settings

BATCH_BYTES: Final = 512 * 1024
REQUEST_MS: Final = 120_000
"""A broker that flushes what two processes send may be slow; nobody waits for it here."""
IN_FLIGHT: Final = 4
SEGMENT_MS: Final = 100 * 366 * 86_400_000
"""While years are written in minutes: else a week of them would begin a new file each."""
TELL_EVERY_S: Final = 0.5
_ANY_LEDGER: Final = str(UUID(int=0))

Tell = Callable[[int], None]
"""Is told how many more events the log has."""


class NotEmptyError(Exception):
    """The ledger has events; a history is written into an empty one."""


async def begin(environment: Mapping[str, str], *, replication: int = 1) -> Whose:
    """Make the ledger of the settings (`LEDGER_*`) as `ledger init` does; safe to run again.

    Raises `SettingsError`, `ValueError` for a policy of its own that no history is made of,
    `NotEmptyError`, `BrokerAwayError`, and what topics and genesis raise.
    """
    settings = read_settings(environment)
    whose_of(environment, _ANY_LEDGER)
    topics = Topics(prefix=settings.topic_prefix)
    await create_topics(
        settings.kafka, partitions=settings.partitions, topics=topics, replication=replication
    )
    log = KafkaLog(settings.kafka, topics)
    try:
        first = await patiently(
            lambda: genesis.initialize(
                log, pepper_check=settings.pepper.check_value, partitions=settings.partitions
            )
        )
        if await patiently(lambda: genesis.has_events(log, Topic.LICENSE_EVENTS)):
            raise NotEmptyError(
                f"{topics.name(Topic.LICENSE_EVENTS)} has events: a history is written into an "
                "empty ledger; give it another --prefix, or an empty broker"
            )
        await patiently(lambda: seed_catalog(log, settings, first.ledger))
        whose = whose_of(environment, first.ledger)
        for event in whose.catalog_events(time.time_ns() // 1_000_000):
            key, value = event.account.encode(), encode_catalog(event)
            await patiently(
                lambda key=key, value=value: log.append(  # type: ignore[misc]
                    Topic.CATALOG_EVENTS, 0, key=key, value=value
                )
            )
    finally:
        await log.close()
    return whose


def whose_of(environment: Mapping[str, str], ledger: str) -> Whose:
    """Whose history one of the settings is, in the ledger of this id; raises what `of` does."""
    settings = read_settings(environment)
    return Whose.of(settings, ledger, bytes.fromhex(environment["LEDGER_PEPPER"].strip()))


async def write(
    environment: Mapping[str, str],
    size: Size,
    *,
    processes: int = 1,
    replication: int = 1,
    append_time: bool = False,
    tell: Tell = lambda _: None,
) -> History:
    """Write a history into the empty ledger of the settings, and return once the log has it.

    Records have the times of their events, and the topic then goes back to the broker's; with
    `append_time` they have the broker's now. `processes`: how many share the partitions; 1 is this
    one, more are new ones, which import the script that is run: it needs a `__main__` part.

    Raises what `begin` raises, and `KafkaError` where the broker doesn't take something.
    """
    whose = await begin(environment, replication=replication)
    history = History(whose, size)
    async with _timestamps(read_settings(environment), replication, append_time=append_time):
        if processes > 1:
            await _by_processes(environment, history, processes, tell)
        else:
            for partition in range(whose.partitions):
                await _write_partition(read_settings(environment), history, partition, tell)
    return history


@asynccontextmanager
async def _timestamps(
    settings: Settings, replication: int, *, append_time: bool
) -> AsyncIterator[None]:
    """Let records have times of their own while the block runs."""
    name = Topics(prefix=settings.topic_prefix).name(Topic.LICENSE_EVENTS)
    ends = topic_config(Topic.LICENSE_EVENTS, replication)
    if append_time:
        yield
        return
    own = {"message.timestamp.type": "CreateTime", "segment.ms": str(SEGMENT_MS)}
    await _configure(settings, name, {**ends, **own})
    try:
        yield
    finally:
        await _configure(settings, name, ends)


async def _configure(settings: Settings, name: str, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**settings.kafka.arguments(), request_timeout_ms=REQUEST_MS)
    await admin.start()
    try:
        answers = await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, configs=config)]
        )
    finally:
        await admin.close()
    refused = [one for answer in answers for one in answer.resources if one[0]]
    if refused:
        raise RuntimeError(f"the broker does not set the config of {name}: {refused[0][1]}")


async def _write_partition(
    settings: Settings, history: History, partition: int, tell: Tell
) -> None:
    topics = Topics(prefix=settings.topic_prefix)
    producer = AIOKafkaProducer(
        **settings.kafka.arguments(),
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
        max_request_size=2 * BATCH_BYTES,
        request_timeout_ms=REQUEST_MS,
        retry_backoff_ms=100,
    )
    await producer.start()
    try:
        # A license's data key is in the log before anything that is sealed under it.
        keys = topics.name(Topic.LICENSE_DATA_KEYS)
        await _send(producer, keys, partition, history.data_keys(partition), lambda _: None)
        name = topics.name(Topic.LICENSE_EVENTS)
        await _send(producer, name, partition, history.events(partition), tell)
    finally:
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, rows: Iterator[Row], tell: Tell
) -> None:
    """Send all rows, a batch's making while the one before is on its way."""
    flying: deque[tuple[int, asyncio.Future[Any]]] = deque()

    async def land(most: int) -> None:
        while len(flying) > most:
            count, stored = flying.popleft()
            await stored
            tell(count)

    async def fly(batch: Any, count: int) -> None:  # noqa: ANN401 - aiokafka has no types
        batch.close()
        flying.append((count, await producer.send_batch(batch, topic, partition=partition)))
        await land(IN_FLIGHT)

    batch, count = producer.create_batch(), 0
    for key, value, timestamp_ms in rows:
        if batch.append(timestamp=timestamp_ms, key=key, value=value) is None:
            await fly(batch, count)
            batch, count = producer.create_batch(), 0
            batch.append(timestamp=timestamp_ms, key=key, value=value)
        count += 1
    if count:
        await fly(batch, count)
    await land(0)


async def _by_processes(
    environment: Mapping[str, str], history: History, processes: int, tell: Tell
) -> None:
    context = get_context("spawn")
    written, given_up = context.Value("q", 0), context.Event()
    given = (dict(environment), history.whose.ledger, history.size, written, given_up)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, context, _enter, given) as pool:
        jobs = [
            loop.run_in_executor(pool, _work, partition)
            for partition in range(history.whose.partitions)
        ]
        told, done = 0, False
        try:
            while not done:
                done = not (await asyncio.wait(jobs, timeout=TELL_EVERY_S))[1]
                told, before = written.value, told
                tell(told - before)
                for job in jobs:
                    if job.done():
                        job.result()
        except BaseException:
            given_up.set()
            pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.gather(*jobs, return_exceptions=True)
            raise


_here: dict[str, Any] = {}
"""What this process, one of several, writes from."""


def _enter(
    environment: dict[str, str],
    ledger: str,
    size: Size,
    written: Any,  # noqa: ANN401 - a shared number
    given_up: Any,  # noqa: ANN401 - a shared event
) -> None:
    # The process that asked ends this one in order, whoever else is told of Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Terms are read here anew: msgspec leaves out a text at its default only where it is the very
    # same object, and what was pickled is another.
    _here["settings"] = read_settings(environment)
    _here["history"] = History(whose_of(environment, ledger), size)
    _here["written"], _here["given up"] = written, given_up


def _work(partition: int) -> None:
    written, given_up = _here["written"], _here["given up"]

    def tell(count: int) -> None:
        if given_up.is_set():
            raise RuntimeError("the history is given up")
        with written.get_lock():
            written.value += count

    asyncio.run(_write_partition(_here["settings"], _here["history"], partition, tell))
