"""Creates the ledger's topics with the settings that its law asks for, or checks those there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ledger.event_log.port import LogUnavailable, MissingTopic, Topic, Topics

CREATE_TIMEOUT_S: Final = 30.0

_REQUEST_TIMEOUT_MS: Final = 10_000
_BACKOFF_S: Final = 0.1
_COMPACTION_LAG_MAX_MS: Final = 24 * 60 * 60 * 1000
"""Erasure is complete in Kafka within about this time."""


async def create_topics(
    bootstrap: str,
    topics: Topics,
    *,
    partitions: int,
    replication_factor: int = 1,
    timeout_s: float = CREATE_TIMEOUT_S,
) -> None:
    """Create the topics that are missing and check those that are there; safe to repeat.

    Raises MissingTopic for a topic with another number of partitions or a setting that breaks the
    log (the message names it, the value and the way out), LogUnavailable when it can't be done.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS, client_id="ledger"
    )
    try:
        async with asyncio.timeout(timeout_s):
            try:
                await admin.start()
                await _create(admin, topics, partitions, replication_factor)
                for topic in Topic:
                    await _check(admin, topics, topic, topic.partition_count(partitions))
            finally:
                await admin.close()
    except (errors.KafkaError, OSError, TimeoutError) as error:
        raise LogUnavailable(
            f"the topics could not be created ({type(error).__name__}): is Kafka running?"
        ) from None


def topic_configs(topic: Topic, *, replication_factor: int) -> dict[str, str]:
    """Return the settings of a topic (docs/format.md, "Topics")."""
    alone = replication_factor == 1
    configs = {
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": "1" if replication_factor < 3 else "2",  # noqa: PLR2004 - RF 3
        "unclean.leader.election.enable": "false",
    }
    if alone:
        # Nobody else has a copy: it is on the disk before it is acknowledged.
        configs["flush.messages"] = "1"
    if topic.compacted:
        configs["cleanup.policy"] = "compact"
        configs["max.compaction.lag.ms"] = str(_COMPACTION_LAG_MAX_MS)
    return configs


async def _create(
    admin: AIOKafkaAdminClient, topics: Topics, partitions: int, replication_factor: int
) -> None:
    there = set(await admin.list_topics())
    missing = [
        NewTopic(
            name=topics.name(topic),
            num_partitions=topic.partition_count(partitions),
            replication_factor=replication_factor,
            topic_configs=topic_configs(topic, replication_factor=replication_factor),
        )
        for topic in Topic
        if topics.name(topic) not in there
    ]
    if not missing:
        return
    answer = await admin.create_topics(missing)
    for name, code, *message in answer.topic_errors:
        error = errors.for_code(code)
        if error not in (errors.NoError, errors.TopicAlreadyExistsError):
            raise LogUnavailable(f"topic {name} was not created: {error.__name__} {message}")


async def _check(admin: AIOKafkaAdminClient, topics: Topics, topic: Topic, partitions: int) -> None:
    name = topics.name(topic)
    described = await _described(admin, name)
    count = len(described["partitions"])
    if count != partitions:
        raise MissingTopic(
            f"topic {name} has {count} partitions, this ledger is set to {partitions}: "
            "set the ledger's partitions to what the log was made with (they never change)"
        )
    configs = await _configs(admin, name)
    wanted = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "compact" if topic.compacted else "delete",
        "retention.ms": "-1",
    }
    for key, value in wanted.items():
        if configs.get(key) != value:
            raise MissingTopic(
                f"topic {name} has {key}={configs.get(key)}: alter it to {value} first"
            )


async def _described(admin: AIOKafkaAdminClient, name: str) -> Mapping[str, Any]:
    """Describe a topic once every partition has a leader."""
    while True:
        [described] = await admin.describe_topics([name])
        led = [partition["leader"] >= 0 for partition in described["partitions"]]
        if described["error_code"] == 0 and led and all(led):
            found: Mapping[str, Any] = described
            return found
        await asyncio.sleep(_BACKOFF_S)


async def _configs(admin: AIOKafkaAdminClient, name: str) -> dict[str, str]:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    return {
        entry[0]: entry[1]
        for answer in answers
        for resource in answer.resources
        for entry in resource[-1]
    }
