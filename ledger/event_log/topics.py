"""Making the topics in Kafka, as docs/format.md ("Topics") has them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from msgspec import Struct

from ledger.connections import KafkaBrokers, brokers
from ledger.event_log.clients import why_refused
from ledger.event_log.port import LogUnavailable, MissingTopic, Topic, Topics

CREATE_TIMEOUT_S: Final = 30.0
DESCRIBE_TIMEOUT_S: Final = 3.0
_REQUEST_MS: Final = 2_000
_COMPACTION_LAG_MS: Final = 24 * 3600 * 1000
_TOMBSTONES_KEPT_MS: Final = 10 * 366 * 24 * 3600 * 1000
"""A replica that is older than a tombstone's end would never see the erasure, and undo it."""
_ALREADY_THERE: Final = 36
TOO_MANY_COPIES: Final = 38


async def create_topics(
    kafka: KafkaBrokers | str,
    *,
    partitions: int,
    topics: Topics | None = None,
    replication: int = 1,
) -> None:
    """Make what is missing, and compare what is there: N is fixed for the ledger's life.

    Raises MissingTopic where a topic has another number of partitions, LogUnavailable when the
    broker does not answer or refuses.
    """
    names = topics or Topics()
    these = brokers(kafka)
    admin = AIOKafkaAdminClient(**these.arguments())
    try:
        async with asyncio.timeout(CREATE_TIMEOUT_S):
            await admin.start()
            wanted = [_new(topic, names, partitions, replication) for topic in Topic]
            made = await admin.create_topics(wanted)
            for name, code, *why in made.topic_errors:
                if code == TOO_MANY_COPIES:
                    raise LogUnavailable(
                        f"{name} was not made: fewer than {replication} brokers are there for its "
                        f"{replication} copies; start the others, or make do with fewer "
                        "(`--copies 1`)"
                    )
                if code not in {0, _ALREADY_THERE}:
                    msg = f"the broker did not make {name}: {why[0] if why else code}"
                    raise LogUnavailable(msg)
            await _compare(admin, names, partitions)
            await _led(these, names, partitions)
    except (KafkaError, OSError, TimeoutError):
        reason = await why_refused(these)
        msg = reason or (
            f"no broker at {these.bootstrap} makes topics within {CREATE_TIMEOUT_S:.0f} s"
        )
        raise LogUnavailable(msg) from None
    finally:
        await admin.close()


async def _compare(admin: AIOKafkaAdminClient, names: Topics, partitions: int) -> None:
    """Wait until the broker tells of every topic, and see that each has its partitions."""
    wanted = {names.name(topic): topic.partition_count(partitions) for topic in Topic}
    found: dict[str, int] = {}
    while wanted.keys() - found.keys():
        described = await admin.describe_topics(list(wanted))
        found = {one["topic"]: len(one["partitions"]) for one in described if one["partitions"]}
        await asyncio.sleep(0.05)
    for name, count in wanted.items():
        if found[name] != count:
            msg = (
                f"{name} has {found[name]} partitions, and LEDGER_PARTITIONS asks for {count}: "
                "the number is fixed for the ledger's life; set it to what the topic has"
            )
            raise MissingTopic(msg)


class Described(Struct, frozen=True, kw_only=True):
    """Topics as they are.

    `differing`: what each one's config has otherwise than `topic_config` says, by the topic's name.
    `copies`: on how many brokers a partition lies, the one with the fewest. `lacking`: how many
    partitions a broker has no full copy of, by its number. `refusing`: how many partitions take
    nothing, since too few of their copies are full.
    """

    differing: dict[str, dict[str, str]]
    copies: int
    lacking: dict[int, int]
    refusing: int


async def describe(kafka: KafkaBrokers | str, topics: Topics) -> Described:
    """Ask the brokers for the topics that are there.

    Raises LogUnavailable after `DESCRIBE_TIMEOUT_S` at the latest.
    """
    admin = AIOKafkaAdminClient(**brokers(kafka).arguments(), request_timeout_ms=_REQUEST_MS)
    names = {topics.name(topic): topic for topic in Topic}
    try:
        async with asyncio.timeout(DESCRIBE_TIMEOUT_S):
            await admin.start()
            partitions = {
                one["topic"]: one["partitions"]
                for one in await admin.describe_topics(list(names))
                if one["partitions"]
            }
            copies = {name: len(each[0]["replicas"]) for name, each in partitions.items()}
            asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in copies]
            answers = await admin.describe_configs(asked)
    except (KafkaError, OSError, TimeoutError):
        raise LogUnavailable(f"{brokers(kafka).named} does not tell the topics' configs") from None
    finally:
        await admin.close()
    found: dict[str, dict[str, str]] = {}
    for _, _, _, name, entries in (one for answer in answers for one in answer.resources):
        told = {entry[0]: entry[1] for entry in entries}
        wanted = topic_config(names[name], copies[name])
        found[name] = {key: told.get(key, "") for key in wanted if told.get(key) != wanted[key]}
    every = [one for each in partitions.values() for one in each]
    lacking = Counter(node for one in every for node in set(one["replicas"]) - set(one["isr"]))
    return Described(
        differing=found,
        copies=min((len(one["replicas"]) for one in every), default=0),
        lacking=dict(lacking),
        refusing=sum(len(one["isr"]) < min(2, len(one["replicas"])) for one in every),
    )


async def _led(these: KafkaBrokers, names: Topics, partitions: int) -> None:
    """Wait until every partition answers: a broker tells of new ones before it leads them."""
    asker = AIOKafkaConsumer(**these.arguments(), group_id=None, retry_backoff_ms=50)
    try:
        await asker.start()
        await asker.end_offsets(
            [
                TopicPartition(names.name(topic), partition)
                for topic in Topic
                for partition in range(topic.partition_count(partitions))
            ]
        )
    finally:
        await asker.stop()


def topic_config(topic: Topic, replication: int) -> dict[str, str]:
    """The config that a topic has, of `replication` copies."""
    config = {
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": str(min(2, replication)),
        "unclean.leader.election.enable": "false",
    }
    if topic.compacted:
        config["cleanup.policy"] = "compact"
        config["max.compaction.lag.ms"] = str(_COMPACTION_LAG_MS)
        config["segment.ms"] = str(_COMPACTION_LAG_MS)
        config["delete.retention.ms"] = str(_TOMBSTONES_KEPT_MS)
    else:
        config["retention.ms"] = "-1"
        config["retention.bytes"] = "-1"
    if replication == 1:
        # With one copy only, an acknowledgement means that it is on the disk.
        config["flush.messages"] = "1"
    return config


def _new(topic: Topic, names: Topics, partitions: int, replication: int) -> NewTopic:
    return NewTopic(
        name=names.name(topic),
        num_partitions=topic.partition_count(partitions),
        replication_factor=replication,
        topic_configs=topic_config(topic, replication),
    )
