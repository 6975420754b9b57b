"""The disk under the broker and both Redis: slow to sync, and failing."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile

import pytest

from tests.faults.ledger import Ledger
from tests.faults.results import skip
from tests.faults.stage import show
from tests.servers import Server, end_with_tests, ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SYNCS = "fsync,fdatasync"
ATTACH_S = 1.0
"""Whoever may not attach ends sooner."""


@contextmanager
def injected(row: str, servers: Sequence[Server], what: str) -> Iterator[None]:
    """Let every sync of these processes meet something (strace); skips the row without it."""
    strace = shutil.which("strace")
    if strace is None:
        skip(row, "strace is not installed")
    argv = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={SYNCS}"]
    argv += ["-e", f"inject={SYNCS}:{what}"]
    for server in servers:
        argv += ["-p", str(server.pid)]
    with (
        TemporaryFile("w+") as told,
        subprocess.Popen(argv, stderr=told, text=True, process_group=0) as process,
    ):
        end_with_tests(process.pid)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(ATTACH_S)
                told.seek(0)
                skip(row, f"strace: {told.read().strip()[:100]}")
            yield
        finally:
            process.terminate()
            process.wait(20)
            ended(process.pid)


async def test_syncs_are_slow(ledger: Ledger) -> None:
    servers = [ledger.system.kafka, *ledger.system.replicas]
    async with show(ledger, "sync-slow") as stage:
        stage.begins()
        with injected("sync-slow", servers, "delay_exit=300000"):
            await stage.enough()
            stage.lifted()
        await stage.recovered()


async def test_syncs_of_the_broker_fail(ledger: Ledger) -> None:
    kafka = ledger.system.kafka
    async with show(ledger, "sync-fails") as stage:
        stage.begins()
        with injected("sync-fails", [kafka], "error=EIO"):
            await stage.enough()
            stage.note = "" if kafka.running else "the broker ended"
        stage.lifted()
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        await stage.recovered()
