"""Plans beside what a REINDEX took on a volume of its own: within a fifth, and below the gate.

With `-s` it prints the table of docs/operations/maintenance.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pytest

from cli.drill.postgres import INSTALL, programs
from cli.maintenance.planning import plan_reindex
from tests.cli.maintenance.shapes import fill
from tests.cli.maintenance.volume import MIB, Peak, VolumeServer, connect, started

pytestmark = [
    pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}"),
    pytest.mark.slow,
    pytest.mark.timeout(280),
]

VOLUME_MB = 3_000
OFF_MAX = 0.2
DEFAULTS = {
    "maintenance_work_mem": "64MB",
    "max_parallel_maintenance_workers": "2",
    "max_wal_size": "1GB",
}
ALONE = {"maintenance_work_mem": "16MB", "max_parallel_maintenance_workers": "0"}
SMALL_WAL = {"max_wal_size": "64MB"}
IN_MEMORY = {"maintenance_work_mem": "512MB", "max_parallel_maintenance_workers": "0"}

Case = tuple[str, Mapping[str, str], bool, bool]
"""What it is called, settings, with pgstattuple, concurrently."""
CASES: Mapping[str, Sequence[Case]] = {
    "machines": [
        ("the server's defaults", {}, False, False),
        ("… pgstattuple installed", {}, True, False),
        ("one process, 16 MB", ALONE, False, False),
        ("… max_wal_size 64 MB", ALONE | SMALL_WAL, False, False),
        ("… CONCURRENTLY", {}, False, True),
    ],
    "events": [
        ("the server's defaults", {}, False, False),
        ("… pgstattuple installed", {}, True, False),
        ("one process, 16 MB", ALONE, False, False),
    ],
    "audit": [
        ("the server's defaults", {}, False, False),
        ("one process, in memory", IN_MEMORY, False, False),
        ("… pgstattuple installed", IN_MEMORY, True, False),
    ],
}


ON_DISK: Sequence[Case] = [
    ("on ext4, the server's defaults", {}, False, False),
    ("… CONCURRENTLY", {}, False, True),
]


@pytest.mark.parametrize("shape", CASES)
def test_a_plan_is_within_a_fifth_and_the_gate_is_never_passed(shape: str) -> None:
    _compared(VolumeServer(VOLUME_MB), shape, CASES[shape])


def test_so_it_is_on_a_disk() -> None:
    _compared(VolumeServer(VOLUME_MB, disk=True), "machines", ON_DISK)


def _compared(volume: VolumeServer, shape: str, cases: Sequence[Case]) -> None:
    with started(volume) as server:
        assert isinstance(server, VolumeServer)
        with connect(server) as connection:
            fill(connection, shape)
        for case in cases:
            _measured(server, shape, case)


def _measured(server: VolumeServer, shape: str, case: Case) -> None:
    name, settings, pgstattuple, concurrently = case
    server.set(**{**DEFAULTS, **settings})
    with connect(server) as connection:
        connection.execute("DROP EXTENSION IF EXISTS pgstattuple")
        if pgstattuple:
            connection.execute("CREATE EXTENSION pgstattuple")
    server.trim_wal()
    plan = plan_reindex(server.url, shape, concurrently=concurrently)
    with connect(server) as connection, Peak(server) as peak:
        if concurrently:
            connection.execute(f"REINDEX TABLE CONCURRENTLY {shape}".encode())
        else:
            # Rolled back at its end, so that the next case finds what this one has found.
            connection.execute("BEGIN")
            connection.execute(f"REINDEX TABLE {shape}".encode())
            connection.execute("ROLLBACK")
    off = plan.expected_bytes / peak.bytes - 1
    naive = sum(one.bytes for one in plan.indexes)
    assert plan.seconds is not None
    sys.stdout.write(
        f"\n| {shape}: {name} | {plan.expected_bytes / MIB:.0f} | {peak.bytes / MIB:.0f} "
        f"| {off:+.0%} | {plan.gate_bytes / MIB:.0f} | {naive / peak.bytes - 1:+.0%} "
        f"| {plan.seconds[0]:.1f} to {plan.seconds[1]:.1f} s, {peak.seconds:.1f} s |"
    )
    assert plan.go
    assert abs(off) <= OFF_MAX, f"{shape}, {name}: {plan}"
    assert peak.bytes <= plan.gate_bytes
    assert peak.free_bytes == pytest.approx(plan.free_bytes, abs=MIB)
