"""`python -m bench.history` in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from ledger.event_log.kafka import KafkaLog
from ledger.event_log.port import LogError, Topic, Topics
from ledger.event_log.topics import describe
from tests.projector.replica import eventually
from tests.servers import ROOT, KafkaServer

PARTITIONS = 2
BUSY_S = 240
"""The broker serves others as well."""


def command(kafka: KafkaServer, topics: Topics, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "bench.history", "--kafka", kafka.bootstrap),
            *("--prefix", topics.prefix, "--partitions", str(PARTITIONS), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"},
        process_group=0,
    )


@pytest.mark.timeout(BUSY_S)
def test_the_command_says_how_to_go_on_and_refuses_a_ledger_that_has_events(
    kafka_server: KafkaServer, topics: Topics
) -> None:
    options = ("--licenses", "30", "--events", "300", "--processes", "1")
    said, errors = (first := command(kafka_server, topics, *options)).communicate()
    assert (first.returncode, errors) == (0, "")
    assert said.startswith("300 events of 30 licenses in ")
    assert f"export LEDGER_TOPIC_PREFIX={topics.prefix}" in said
    assert "export LEDGER_PEPPER=" in said
    said, errors = (second := command(kafka_server, topics, *options)).communicate()
    assert (second.returncode, said) == (1, "")
    assert "empty ledger" in errors


@pytest.mark.timeout(BUSY_S)
async def test_ctrl_c_ends_all_of_its_processes(kafka_server: KafkaServer, topics: Topics) -> None:
    options = ("--licenses", "20000", "--events", "2000000", "--processes", "2")
    running = command(kafka_server, topics, *options)
    log = KafkaLog(kafka_server.bootstrap, topics)
    try:

        async def begun() -> bool:
            try:
                return sum((await log.ends(Topic.LICENSE_EVENTS)).values()) > 10 * PARTITIONS
            except LogError:
                return False

        await eventually(begun, what="something is written", timeout_s=BUSY_S / 2)
        os.killpg(running.pid, signal.SIGINT)
        # Every process of it holds these pipes: at their end none is left.
        said, errors = await asyncio.to_thread(running.communicate)
    finally:
        await log.close()
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert (running.returncode, said) == (130, "")
    assert errors.startswith("interrupted: ")
    assert "Traceback" not in errors
    # The topic's clock is the broker's again.
    assert not any((await describe(kafka_server.bootstrap, topics)).differing.values())
