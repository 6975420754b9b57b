"""The fifth of November on a volume that is too small: no-go before it, and if overruled, ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from cli.drill.postgres import INSTALL, programs
from cli.maintenance.moments import Limits, Outcome
from cli.maintenance.planning import plan_reindex
from cli.maintenance.watching import Watch
from tests.cli.maintenance.shapes import fill
from tests.cli.maintenance.volume import MIB, VolumeServer, connect, started

pytestmark = [
    pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}"),
    pytest.mark.slow,
    pytest.mark.timeout(280),
]

VOLUME_MB = 1_200
LOCKED = "BEGIN; LOCK TABLE machines IN ACCESS EXCLUSIVE MODE; REINDEX TABLE machines; COMMIT"


@pytest.fixture(scope="module")
def server() -> Iterator[VolumeServer]:
    with started(VolumeServer(VOLUME_MB)) as server:
        assert isinstance(server, VolumeServer)
        with connect(server) as connection:
            fill(connection, "machines", 700_000)
        server.set(maintenance_work_mem="16MB", max_parallel_maintenance_workers="0")
        server.trim_wal()
        yield server


def catalog(server: VolumeServer) -> list[Any]:
    with connect(server) as connection:
        return connection.execute(
            "SELECT oid, relfilenode, xmin::text FROM pg_class ORDER BY oid"
        ).fetchall()


def works(server: VolumeServer) -> bool:
    with connect(server) as connection:
        connection.execute("UPDATE machines SET last_seen = now() WHERE id = 4")
        row = connection.execute("SELECT count(*) FROM machines WHERE id = 4").fetchone()
    return row == (1,)


def test_it_is_a_no_go_before_anything_is_touched(server: VolumeServer) -> None:
    before, free = catalog(server), server.free_bytes
    roomy = plan_reindex(server.url, "machines")
    assert roomy.go
    server.leave(roomy.expected_bytes + 20 * MIB)
    plan = plan_reindex(server.url, "machines")
    assert not plan.go
    [reason] = plan.reasons
    assert f"{server.data_directory} has" in reason
    assert "first" in reason
    assert catalog(server) == before
    (server.volume / "ballast").unlink()
    assert server.free_bytes == pytest.approx(free, abs=MIB)


def test_overruled_it_is_ended_before_the_disk_is_full(server: VolumeServer) -> None:
    expected = plan_reindex(server.url, "machines").expected_bytes
    before = catalog(server)
    server.leave(round(0.75 * expected))
    free = server.free_bytes
    outcomes: list[Outcome] = []
    with closing(Watch(server.url, limits=Limits())) as watch:
        looking = threading.Thread(target=lambda: outcomes.append(watch.run(watch.find(None, 20))))
        looking.start()
        try:
            with connect(server) as connection, pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute(LOCKED)
        finally:
            looking.join(20)
    [outcome] = outcomes
    assert outcome.aborted.startswith(f"{server.data_directory} has ")
    assert not outcome.by_force
    assert outcome.done is False
    assert outcome.least_free_bytes is not None
    assert outcome.least_free_bytes > 0
    assert "No space left" not in server.log_path.read_text()
    assert "PANIC" not in server.log_path.read_text()
    assert catalog(server) == before
    # Its room is back at once, but for the WAL.
    assert server.free_bytes >= free - 0.92 * expected
    assert works(server)


def test_without_a_watch_the_disk_would_have_been_full(server: VolumeServer) -> None:
    """Else the test before shows nothing."""
    (server.volume / "ballast").unlink(missing_ok=True)
    server.trim_wal()
    server.leave(round(0.75 * plan_reindex(server.url, "machines").expected_bytes))
    with pytest.raises(psycopg.Error) as found, connect(server) as connection:
        connection.execute(LOCKED)
    assert isinstance(found.value, psycopg.errors.DiskFull | psycopg.OperationalError)
    assert "No space left" in server.log_path.read_text()


def test_the_command_says_so(server: VolumeServer) -> None:
    (server.volume / "ballast").unlink(missing_ok=True)
    if not server.is_ready():
        server.wait_ready()
    server.trim_wal()
    server.leave(round(0.75 * plan_reindex(server.url, "machines").expected_bytes))
    argv = [sys.executable, "-c", "from cli.start import main; main()", "maintenance", "watch"]
    command = subprocess.Popen(
        [*argv, "--wait", "30s", "--database", server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with connect(server) as connection:
        while not _watched(connection):
            assert command.poll() is None
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(LOCKED)
    out, _ = command.communicate(timeout=20)
    assert command.returncode == 1
    assert "cancelled after " in out
    assert "why: " in out


def _watched(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ledger maintenance'"
    ).fetchone()
    return row is not None and row[0] >= 2
