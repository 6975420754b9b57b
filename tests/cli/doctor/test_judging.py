"""What the doctor makes of what it sees: each thing that can be wrong, with the way out."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from cli.doctor import machine, processes, replicas
from cli.doctor.finding import Finding, Level
from cli.doctor.listeners import who_listens
from cli.doctor.log import judge_copies
from cli.local.folder import data_folder
from cli.local.supervision import State
from ledger.event_log.topics import Described
from projector.read_model.keys import CATALOG
from projector.views.documents import Head

GOOD: dict[str, Any] = {
    "redis_version": "7.0.15",
    "used_memory": 100,
    "maxmemory": 1000,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
}


def worst(findings: list[Finding]) -> Level:
    return max((one.level for one in findings), key=list(Level).index)


@pytest.mark.parametrize(
    ("told", "level"),
    [
        ({}, Level.OK),
        ({"maxmemory": 0}, Level.OK),
        ({"used_memory": 850}, Level.WARN),
        ({"used_memory": 990}, Level.FAIL),
        ({"maxmemory_policy": "allkeys-lru"}, Level.FAIL),
        ({"aof_enabled": 0}, Level.WARN),
        ({"aof_last_write_status": "err"}, Level.FAIL),
    ],
    ids=str,
)
def test_a_redis_is_judged_by_what_it_says(told: Mapping[str, Any], level: Level) -> None:
    found = replicas.server("replica A", GOOD | dict(told))
    assert worst(found) is level
    assert all(one.step for one in found if one.level is not Level.OK)


@pytest.mark.parametrize(
    ("lacking", "refusing", "level", "said"),
    [
        ({}, 0, Level.OK, "3 of each record"),
        ({2: 33}, 0, Level.WARN, "broker 2 lacks 33 partitions"),
        ({3: 1, 2: 33}, 1, Level.FAIL, "broker 2 lacks 33 partitions, broker 3 lacks 1 "),
    ],
)
def test_copies_are_judged_by_who_lacks_one_and_whether_enough_are_left(
    lacking: dict[int, int], refusing: int, level: Level, said: str
) -> None:
    found = judge_copies(Described(differing={}, copies=3, lacking=lacking, refusing=refusing))
    assert found.level is level
    assert said in found.said
    assert ("brokers.md" in (found.step or "")) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("states", "level", "said"),
    [
        ({"kafka": State.RUNNING, "redis-a": State.RUNNING}, Level.OK, "2 run"),
        ({"kafka": State.RUNNING, "redis-a": State.STARTING}, Level.WARN, "redis-a starting"),
        ({"kafka": State.FATAL, "redis-a": State.STARTING}, Level.FAIL, "kafka fatal"),
        ({"kafka": State.RUNNING, "redis-a": State.BACKOFF}, Level.FAIL, "redis-a backoff"),
    ],
)
def test_a_process_that_starts_is_waited_for_and_one_that_cannot_is_not(
    states: Mapping[str, State], level: Level, said: str, tmp_path: Path
) -> None:
    found = processes.judge_states(states, data_folder(tmp_path))
    assert found.level is level
    assert said in found.said
    name = next((name for name, state in states.items() if state is not State.RUNNING), None)
    assert (name is None) or f"{name}.log" in found.step


def test_a_redis_that_may_not_be_asked_is_a_warning() -> None:
    assert worst(replicas.server("replica A", None)) is Level.WARN


@pytest.mark.parametrize(
    ("level_at", "ends", "level", "said"),
    [
        ((99_000, 99_500), {0: 5, 1: 5}, Level.OK, "1.0 s old"),
        ((80_000, 99_500), {0: 9, 1: 6}, Level.WARN, "20.0 s old, 5 records behind"),
        ((0, 99_500), {}, Level.FAIL, "never was level in every partition"),
        ((99_500, 0), {CATALOG: 9}, Level.FAIL, "never was level in the catalog, 4 records behind"),
    ],
)
def test_level_is_the_oldest_partitions(
    level_at: tuple[int, ...], ends: dict[int, int], level: Level, said: str
) -> None:
    heads = [Head(position=5, level_at_ms=one) for one in level_at]
    found = replicas.level("A", heads, 100_000, ends)
    assert (found.level, said in found.said) == (level, True)


def test_a_replica_without_projector_fails() -> None:
    assert replicas.projector("A", []).level is Level.FAIL
    assert "0, 3" in replicas.projector("A", [0, 3]).said


@pytest.mark.parametrize(
    ("apart_ms", "level"),
    [
        ([0, 100], Level.OK),
        ([-3_000, 3_000], Level.WARN),
        ([61_000], Level.FAIL),
        ([], Level.WARN),
    ],
)
def test_clocks_are_judged_by_the_two_farthest_apart(apart_ms: list[int], level: Level) -> None:
    assert replicas.clocks(apart_ms).level is level


@pytest.mark.parametrize(
    ("status", "told", "level"),
    [
        (200, {"writes": True, "degraded": []}, Level.OK),
        (200, {"writes": False, "degraded": ["writes: no broker"]}, Level.WARN),
        (503, {"degraded": ["replica A: does not answer"]}, Level.FAIL),
        (404, {}, Level.FAIL),
    ],
)
def test_an_api_is_judged_by_its_readiness(status: int, told: dict[str, Any], level: Level) -> None:
    assert processes.judge("API", "http://x", status, told).level is level


def test_an_old_python_and_missing_programs_are_told_with_the_way_out(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}
    found = [machine.python((3, 10, 2)), machine.jars(tmp_path)]
    if not Path("/usr/sbin/redis-server").exists():
        found.append(machine.redis_server(nothing))
    assert {one.level for one in found} == {Level.FAIL}
    assert all("make" in one.step for one in found)


def test_a_program_that_hangs_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "VERSION_S", 0.2)
    for name in ("java", "redis-server"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexec sleep 60\n")
        program.chmod(0o755)
    hanging = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert machine.redis_server(hanging).level is Level.FAIL
    assert str(tmp_path) not in machine.java(hanging).said


def test_a_taken_port_is_told_with_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        found = machine.ports({"LEDGER_PORTS": f"api={port}"}, data_folder(tmp_path))
        assert found.level is Level.FAIL
        assert f"{port} (api) is taken" in found.said
        assert "--ports auto" in found.step
        if Path("/proc/net/tcp").exists():
            assert f"({os.getpid()})" in (who_listens(port) or "")
    assert who_listens(port) is None
    assert machine.ports({"LEDGER_PORTS": "nonsense"}, data_folder(tmp_path)).level is Level.FAIL


@pytest.mark.parametrize(
    ("days", "level"), [(100, Level.OK), (10, Level.WARN), (-1, Level.FAIL), (None, Level.FAIL)]
)
def test_certificates_are_judged_by_the_days_that_are_left(
    tmp_path: Path, days: int | None, level: Level
) -> None:
    folder = data_folder(tmp_path / "data")
    path = tmp_path / "api.pem"
    path.write_bytes(b"no certificate" if days is None else certificate(days))
    [found] = machine.certificates({"LEDGER_API_TLS_CERT_FILE": str(path), "OTHER": "x"}, folder)
    assert found.level is level
    assert "LEDGER_API_TLS_CERT_FILE" in found.name


def test_certificates_of_the_local_run_are_found_and_keys_left_alone(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_bytes(certificate(100))
    (tmp_path / "tls" / "ca-key.pem").write_bytes(b"secret")
    assert [one.level for one in machine.certificates({}, folder)] == [Level.OK]


def certificate(days: int) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("free", "a_day", "level", "said"),
    [
        (500, None, Level.OK, "too little is in the log"),
        (500, 1, Level.OK, "full in 500 days"),
        (500, 0.01, Level.OK, "over 10 years"),
        (500, 50, Level.WARN, "full in 10 days"),
        (500, 600, Level.FAIL, "full in 1 days"),
        (50, None, Level.WARN, "50.0 GiB of 1000.0 GiB"),
        (0, None, Level.FAIL, "0 B"),
    ],
)
def test_the_disk_is_judged_by_what_is_free_and_by_the_days_that_it_lasts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    a_day: float | None,
    level: Level,
    said: str,
) -> None:
    gib = 1024**3
    usage = type("Usage", (), {"free": free * gib, "total": 1000 * gib})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = machine.disk(
        data_folder(tmp_path / "not" / "there"), None if a_day is None else a_day * gib
    )
    assert (found.level, said in found.said) == (level, True), found
