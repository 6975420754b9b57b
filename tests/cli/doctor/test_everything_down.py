"""The doctor where nothing is, where everything is frozen, and where a config was changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from cli.doctor.finding import Finding, Level
from cli.doctor.run import examine
from ledger.event_log.port import Topic, Topics
from ledger.event_log.topics import create_topics, describe
from tests.servers import KafkaServer, RedisServer

HANGS_S = 60.0
"""No promise: it is told as hanging after this time, on a busy machine too."""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No LEDGER_* of whoever runs the tests."""
    for name in ("LEDGER_KAFKA", "LEDGER_API_URL", "LEDGER_PORTS"):
        monkeypatch.delenv(name, raising=False)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {one.name: one for one in findings}


async def test_where_nothing_is_it_says_how_to_start(tmp_path: Path) -> None:
    found = by_name(await examine(tmp_path / "none"))
    assert found["settings"].level is found["processes"].level is Level.FAIL
    assert "ledger up" in found["processes"].step
    assert found["Python"].level is Level.OK
    assert "ports" in found
    assert not (tmp_path / "none").exists()


async def test_what_is_frozen_or_gone_holds_it_up_no_longer_than_its_limits(
    own_kafka_server: KafkaServer,
    new_redis: Callable[[], RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    frozen, gone = new_redis(), new_redis()
    gone.kill()
    for name, value in {
        "LEDGER_KAFKA": own_kafka_server.bootstrap,
        "LEDGER_REPLICAS": f"{frozen.url},redis://:secret-word@127.0.0.1:{gone.port}/0",
        "LEDGER_PEPPER": "ab" * 32,
        "LEDGER_SEAL_KEYS": f"k1:{'cd' * 32}",
        "LEDGER_API_URL": "http://127.0.0.1:1",
        "LEDGER_LOCAL": "1",
    }.items():
        monkeypatch.setenv(name, value)
    own_kafka_server.freeze()
    frozen.freeze()
    try:
        started = time.monotonic()
        async with asyncio.timeout(HANGS_S):
            findings = await examine(tmp_path)
    finally:
        own_kafka_server.thaw()
        frozen.thaw()
    assert time.monotonic() - started < HANGS_S
    found = by_name(findings)
    for name in ("broker", "replica A", "replica B", "API"):
        assert found[name].level is Level.FAIL
        assert found[name].step
    for name in ("broker", "replica A"):
        assert "hangs" in found[name].said
        assert "end its process" in found[name].step
    assert "can't be reached" in found["replica B"].said
    assert "LEDGER_REPLICAS" in found["replica B"].step
    assert found["settings"].level is Level.OK
    assert not any("secret-word" in one.said + one.step for one in findings)


async def test_a_replica_that_refuses_the_password_says_so_and_not_which(
    new_redis: Callable[[], RedisServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replica = new_redis()
    for name, value in {
        "LEDGER_KAFKA": "127.0.0.1:1",
        "LEDGER_REPLICAS": f"redis://nobody:secret-word@127.0.0.1:{replica.port}/0",
        "LEDGER_PEPPER": "ab" * 32,
        "LEDGER_SEAL_KEYS": f"k1:{'cd' * 32}",
        "LEDGER_LOCAL": "1",
    }.items():
        monkeypatch.setenv(name, value)
    findings = await examine(tmp_path)
    found = by_name(findings)["replica A"]
    assert found.level is Level.FAIL
    assert "refuses the user" in found.said
    assert not any("secret-word" in one.said + one.step for one in findings)


async def test_a_topic_with_another_config_is_named(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    await create_topics(kafka_server.bootstrap, partitions=2, topics=topics)
    names = {topics.name(topic) for topic in Topic}
    described = await describe(kafka_server.bootstrap, topics)
    assert described.differing == {name: {} for name in names}
    assert (described.copies, described.lacking, described.refusing) == (1, {}, 0)
    changed = topics.name(Topic.LICENSE_EVENTS)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    await admin.start()
    try:
        config = {"retention.ms": "1000000", "message.timestamp.type": "LogAppendTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, changed, config)])
    finally:
        await admin.close()
    found = (await describe(kafka_server.bootstrap, topics)).differing
    assert found[changed]["retention.ms"] == "1000000"
    assert all(not others for name, others in found.items() if name != changed)
