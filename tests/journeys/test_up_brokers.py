"""`ledger up --brokers 3`: one killed, one lost; the folder remembers how many there are."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import folder as folders
from cli.local import processes
from cli.local.up import START_LIMIT_S
from tests.local import Local, mentioning
from tests.servers import wait_until

LIMIT_S = START_LIMIT_S[3] + 60
BROKERS = ("kafka-1", "kafka-2", "kafka-3")


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    started = Local(tmp_path)
    try:
        yield started
    finally:
        started.end()


def copies(local: Local) -> tuple[str, str]:
    """What the doctor says of the copies."""
    findings = json.loads(local.run("doctor", "--json").stdout)["findings"]
    [found] = [one for one in findings if one["name"] == "copies"]
    return found["level"], found["said"]


def whole(local: Local) -> None:
    wait_until(
        lambda: copies(local) == ("ok", "3 of each record, all full"),
        what="three full copies",
        timeout_s=200,
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_is_killed_and_another_one_s_folder_is_lost(local: Local) -> None:
    # With TLS and users, which is all that the plain one does, and more.
    local.start("--brokers", "3", "--secure")
    local.ready(limit_s=LIMIT_S)
    everybody, key = local.everybody(), local.key()
    assert {name for name in everybody if name.startswith("kafka")} == set(BROKERS)
    environment = folders.read_environment(local.folder)
    assert environment is not None
    assert len(environment["LEDGER_KAFKA"].split(",")) == 3
    whole(local)

    # Killed, it is started again by supervision, and catches up; whoever writes goes on.
    os.kill(everybody["kafka-2"].id, signal.SIGKILL)
    assert local.run("check", "-", stdin=key).returncode == 0
    local.until("Kafka broker 2: ready", limit_s=LIMIT_S)
    whole(local)
    done = local.run("license", "create", "--policy", _policy(local), "--key", "WHILE-IT-RUNS")
    assert done.returncode == 0, done.stderr

    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0, local.text
    assert "(killed:" not in local.text
    assert mentioning(local.folder.root) == []

    other = local.run("up", "--brokers", "1")
    assert other.returncode == 2
    assert "made with --brokers 3" in other.stderr
    assert mentioning(local.folder.root) == []

    # Its data is gone: it is formatted for the others' cluster, and is sent what they hold.
    shutil.rmtree(local.folder.root / "kafka-3")
    local.start("--no-sample", "--secure")
    local.ready(limit_s=LIMIT_S)
    whole(local)
    for license_ in (key, "WHILE-IT-RUNS"):
        assert local.run("check", "-", stdin=license_).returncode == 0
    assert local.run("stop").returncode == 0
    assert local.wait() == 0
    assert not any(map(processes.is_alive, everybody.values()))
    assert mentioning(local.folder.root) == []


def _policy(local: Local) -> str:
    [line] = [line for line in local.output if line.startswith("  policy ")]
    return line.split()[1]


def test_another_number_of_brokers_is_refused(local: Local) -> None:
    done = local.run("up", "--brokers", "2")
    assert done.returncode == 2
    assert "1 or 3" in done.stderr
    assert not local.folder.root.exists()
