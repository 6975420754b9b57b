"""Packets to one Redis dropped: nobody is told anything, and nothing comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.faults.ledger import UNLIMITED, running_ledger
from tests.faults.network import FarRedis
from tests.faults.results import skip
from tests.faults.stage import show
from tests.system import System

OUTSIDE = {**UNLIMITED, "LEDGER_LOCAL": "0", "LEDGER_ALLOW_PLAINTEXT": "1"}
"""A host with another address is no local run."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("row", "how"),
    [("packets-dropped", ("blackhole",)), ("packets-lost", ("netem", "loss", "30%"))],
)
async def test_packets_are_lost(
    table: None, tmp_path: Path, row: str, how: tuple[str, ...]
) -> None:
    try:
        far = FarRedis(tmp_path / "redis-a", row=row)
        try:
            far.drop(*how)
        except subprocess.CalledProcessError as error:
            skip(row, f"tc {' '.join(how)}: {error.stderr.strip()[:100]}")
        far.mend()
        system = System(tmp_path, terms=OUTSIDE, local_copy=True, first_replica=far)
        async with running_ledger(system, seed=4) as ledger, show(ledger, row) as stage:
            stage.begins()
            far.drop(*how)
            await stage.enough()
            stage.lifted()
            far.mend()
            await stage.recovered()
    finally:
        FarRedis.remove()
