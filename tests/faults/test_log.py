"""The log itself: a poison event in it, and another one in its place."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from pathlib import Path

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from cli.patience import patiently
from ledger.event_log.genesis import initialize
from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LostRecords, Topic, Topics
from ledger.event_log.topics import create_topics
from tests.faults.asking import request
from tests.faults.ledger import Ledger, running_ledger, system_in
from tests.faults.stage import Stage, show
from tests.system import TOKEN, System
from tests.vendor import machine_body

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FEW = 200
REPLACED_TRIES = 5
QUIET_S = 3.0
REFUSES = 2
"""Exit code of what a person has to look at."""
ALL = ("REPLICA_A", "REPLICA_B", "LOCAL_COPY")


async def test_an_event_is_poison(ledger: Ledger) -> None:
    victim = next(each for each in ledger.world.all if each.story.last.expiry_ms is None)
    log = KafkaLog(ledger.system.settings.kafka)
    try:
        async with show(ledger, "poison") as stage:
            stage.begins()
            partition, key = victim.story.partition, victim.id.encode()
            await log.append(Topic.LICENSE_EVENTS, partition, key=key, value=b"poison")
            await stage.enough()
            headers = {"Authorization": f"Bearer {TOKEN}"}
            content = request("POST", "/v1/machines", machine_body(victim.id, "f"), headers)
            refused = await stage.peers[0].ask(content, 10)
            told = orjson.loads(refused.body)["errors"][0]["code"]
            stage.note = f"writes to that license: {refused.status} {told}"
            assert refused.status >= HTTPStatus.BAD_REQUEST
            # It is answered as it stood.
            assert await stage.sweep([victim]) == []
            stage.lifted()
            await stage.recovered()
    finally:
        await log.close()


async def test_the_log_is_another_one(table: None, tmp_path: Path) -> None:
    system = system_in(tmp_path)
    async with (
        running_ledger(system, seed=5, filled=FEW) as ledger,
        show(ledger, "log-replaced", comes_back=False) as stage,
    ):
        await _quiet(stage)
        stage.ask()
        stage.begins()
        await _replace_topics(system)
        replaced = time.monotonic()
        stage.write()
        await stage.enough()
        stage.lifted()
        stage.stands_still(replaced, stage.ended, ALL)
        for projector in system.projectors:
            log = projector.log_path.read_text(encoding="utf-8")
            assert '"alarm":"log-replaced"' in log or '"alarm":"foreign-log"' in log
        assert [at for at in stage.vendor.granted_at if at > replaced] == []
        # A worker that starts now refuses to run.
        await asyncio.to_thread(system.workers[0].stop)
        system.workers[0].start(wait=False)
        code = await asyncio.to_thread(system.workers[0].exit_code)
        stage.note = f"projectors stop; a worker started then ends with {code}"
        assert code == REFUSES


async def _quiet(stage: Stage) -> None:
    """Write nothing, and have every check noticed, so that nobody appends before the genesis."""
    await stage.stop()
    await stage.vendor.finish()
    assert await stage.sweep(stage.world.alive()) == []
    log, last = KafkaLog(stage.system.settings.kafka), {0: -1}
    try:
        while last != (last := await log.ends(Topic.LICENSE_EVENTS)):
            await asyncio.sleep(QUIET_S)
    finally:
        await log.close()


async def _replace_topics(system: System) -> None:
    """Make all topics anew; once more where a worker has appended before the genesis."""
    for left in reversed(range(REPLACED_TRIES)):
        await _make_topics_anew(system)
        try:
            await _initialize(system)
            return
        except LostRecords:
            if not left:
                raise


async def _make_topics_anew(system: System) -> None:
    settings, names = system.settings, [Topics().name(topic) for topic in Topic]
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(names)
        async with asyncio.timeout(60):
            while set(names) & set(await admin.list_topics()):
                await asyncio.sleep(0.1)
    finally:
        await admin.close()
    await patiently(lambda: create_topics(settings.kafka, partitions=settings.partitions))


async def _initialize(system: System) -> None:
    settings = system.settings
    log = KafkaLog(settings.kafka)
    try:
        check = settings.pepper.check_value
        await patiently(lambda: initialize(log, pepper_check=check, partitions=settings.partitions))
    finally:
        await log.close()
