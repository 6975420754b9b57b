"""Where the space is taken: tablespaces, sorts and the WAL on file systems of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cli.drill.postgres import INSTALL, programs
from cli.maintenance.planning import plan_reindex
from tests.cli.maintenance.shapes import fill
from tests.cli.maintenance.volume import VolumeServer, connect, started
from tests.servers import ROOT

pytestmark = pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}")

PROGRAM = [sys.executable, "-c", "from cli.start import main; main()"]


@pytest.fixture
def server() -> Iterator[VolumeServer]:
    """Its volume, and beside it a folder on another file system for what is moved out of it."""
    with started(VolumeServer(400)) as server:
        assert isinstance(server, VolumeServer)
        with connect(server) as connection:
            fill(connection, "machines", 20_000)
        yield server


def test_each_file_system_is_told_with_what_lies_there(server: VolumeServer) -> None:
    outside, owner = server.directory / "outside", server.data_directory.stat()
    outside.mkdir()
    os.chown(outside, owner.st_uid, owner.st_gid)
    with connect(server) as connection:
        connection.execute(f"CREATE TABLESPACE outside LOCATION '{outside}'".encode())
        connection.execute("ALTER INDEX machines_last_seen SET TABLESPACE outside")
    server.stop()
    argv = ["cp", "-a", str(server.data_directory / "pg_wal"), str(server.directory / "wal")]
    subprocess.run(argv, check=True, timeout=20)
    shutil.rmtree(server.data_directory / "pg_wal")
    (server.data_directory / "pg_wal").symlink_to(server.directory / "wal")
    server.start()
    plan = plan_reindex(server.url, "machines")
    volume, other = plan.places
    assert volume.path == str(server.data_directory)
    assert list(volume.parts) == ["indexes", "sorts"]
    assert list(other.parts) == ["indexes", "WAL"]
    sizes = {one.name: one.new_bytes for one in plan.indexes}
    moved = sizes.pop("public.machines_last_seen")
    assert volume.expected_bytes >= sum(sizes.values())
    assert other.expected_bytes == pytest.approx(moved + plan.wal_growth_bytes, abs=8192)
    server.set(temp_tablespaces="outside")
    volume, other = plan_reindex(server.url, "machines").places
    assert list(volume.parts) == ["indexes"]
    assert list(other.parts) == ["indexes", "sorts", "WAL"]


def test_a_server_in_a_mount_namespace_is_seen_through_its_process(server: VolumeServer) -> None:
    def planned(*more: str) -> tuple[int, dict[str, Any]]:
        # Where its volume isn't mounted, as for a container's server.
        script = f'umount "{server.volume}" && exec "$@"'
        argv = [*PROGRAM, "maintenance", "plan", "reindex", "machines", "--json", *more]
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "-", *argv],
            env={**os.environ, "LEDGER_MAINTENANCE_DATABASE": server.url, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    code, document = planned()
    assert code == 1
    assert "there is no data directory of a Postgres at" in document["reasons"][0]
    below = f"/proc/{server.pid}/root"
    code, document = planned("--data-directory", f"{below}{server.data_directory}")
    assert code == 0, document["reasons"]
    [place] = document["places"]
    assert place["path"] == f"{below}{server.data_directory}"
    seen = os.statvfs(server.volume)
    assert place["total_bytes"] == seen.f_blocks * seen.f_frsize
