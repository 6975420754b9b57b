"""`ledger up` with everything real: started, checked, harmed, stopped, and started again."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local import processes
from cli.local.plan import WORKERS
from tests.local import Local, mentioning
from tests.servers import wait_until

PROCESSES = 1 + 1 + 2 + 3 + WORKERS
"""Supervisor, the broker, two replicas, their projectors and the copy's, the workers."""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    started = Local(tmp_path)
    try:
        yield started
    finally:
        started.end()


@pytest.mark.timeout(300)
def test_a_first_day(local: Local) -> None:
    local.start()
    local.ready()
    everybody = local.everybody()
    assert len(everybody) == PROCESSES

    assert '"code":"VALID"' in local.pasted()
    assert local.run("check", "-", stdin=local.key()).returncode == 0
    assert local.run("check", "LIC-NO-SUCH-KEY").returncode == 1
    status = json.loads(local.run("status", "--json").stdout)
    assert status["ready"] is True
    assert len(status["processes"]) == PROCESSES - 1
    shown = json.loads(local.run("show", "-", "--json", "--last", "0", stdin=local.key()).stdout)
    assert shown["state"] == "active"
    assert shown["key"] == local.key()
    assert len(shown["history"]) == shown["events"]
    assert shown["history"][0]["type"] == "license.issued"

    second = local.run("up", "--ports", "auto")
    assert second.returncode == 2
    assert "already runs" in second.stderr

    _a_killed_worker_comes_back(local)

    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0, local.text
    assert "Stopped in" in local.text
    assert "killed" not in local.text
    assert not any(map(processes.is_alive, everybody.values()))
    assert mentioning(local.folder.root) == []
    assert local.run("check", "-", stdin=local.key()).returncode == 2


def _a_killed_worker_comes_back(local: Local) -> None:
    before = local.everybody()
    name = next(name for name in before if name.startswith("worker"))
    os.kill(before[name].id, signal.SIGKILL)
    wait_until(
        lambda: local.everybody().get(name, before[name]) != before[name],
        what="a new worker",
        timeout_s=60,
    )
    local.guard()
    assert '"code":"VALID"' in local.pasted()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("also_supervisor", [False, True])
def test_after_kill_9_the_next_start_ends_the_orphans_and_the_data_is_there(
    local: Local,
    also_supervisor: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    local.start()
    local.ready()
    orphans, key = local.everybody(), local.key()
    local.process.kill()
    local.wait()
    if also_supervisor:
        os.kill(orphans["supervisor"].id, signal.SIGKILL)
    assert any(map(processes.is_alive, orphans.values()))

    local.start("--no-sample")
    local.ready()
    assert "an earlier run left processes behind" in local.text
    assert not any(map(processes.is_alive, orphans.values()))
    assert len(local.everybody()) == PROCESSES
    # Nothing was loaded this time: the license is there from before.
    assert "Sample" not in local.text
    assert local.run("check", "-", stdin=key).returncode == 0

    stopped = local.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert local.wait() == 0
    assert mentioning(local.folder.root) == []


def test_a_taken_port_is_named_and_nothing_is_started(local: Local) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = local.run("up", "--ports", f"api={port}")
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "--ports api=PORT" in done.stderr
    assert mentioning(local.folder.root) == []


@pytest.mark.timeout(180)
def test_what_cannot_start_is_told_in_a_line_with_its_last_words(local: Local) -> None:
    aof = local.folder.redis("A") / "data" / "appendonlydir"
    aof.mkdir(parents=True)
    (aof / "appendonly.aof.manifest").write_text("this is no manifest\n")
    local.start()
    assert local.wait() == 1, local.text
    last = local.text[local.text.index("ledger: ") :]
    assert "redis-a does not start" in last.splitlines()[0]
    assert "manifest" in last
    assert mentioning(local.folder.root) == []


@pytest.mark.timeout(180)
def test_stopped_while_it_starts_it_leaves_nothing_and_a_second_ctrl_c_hurries(
    local: Local,
) -> None:
    local.start()
    local.until("Kafka broker: starting")
    # A broker that doesn't stop by itself: the orderly way would take its whole time.
    os.kill(local.everybody()["kafka"].id, signal.SIGSTOP)
    local.process.send_signal(signal.SIGTERM)
    local.until("Stopping")
    local.process.send_signal(signal.SIGINT)
    assert local.wait() == 0, local.text
    assert "killed: " in local.text
    assert "kafka" in local.text[local.text.index("killed: ") :]
    assert mentioning(local.folder.root) == []
