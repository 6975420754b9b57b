"""The replicas' Redis: killed, frozen, all of them dead, empty, loading, older, full."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from tests.faults.harm import FROZEN, KILLED, harmed
from tests.faults.ledger import Ledger
from tests.faults.stage import Stage, show
from tests.servers import RedisServer, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FOREIGN = 300_000
"""Members of a set that isn't the ledger's: it takes a Redis seconds to load them."""
_CHUNK = 2_000


async def test_one_redis_is_killed(ledger: Ledger) -> None:
    async with show(ledger, "redis-killed") as stage:
        await harmed(stage, ledger.system.replicas[:1], KILLED)


async def test_one_redis_is_stopped(ledger: Ledger) -> None:
    async with show(ledger, "redis-stopped") as stage:
        await harmed(stage, ledger.system.replicas[:1], FROZEN)


async def test_all_redis_are_dead(ledger: Ledger) -> None:
    async with show(ledger, "redis-all-dead") as stage:
        await harmed(stage, ledger.system.replicas, KILLED)


async def test_everything_is_dead_and_the_workers_start_cold(ledger: Ledger) -> None:
    system = ledger.system
    async with show(ledger, "all-dead-cold") as stage:
        # What was acknowledged a moment ago is in the copy, too: it is level every 250 ms.
        await stage.stop()
        await stage.vendor.finish()
        await asyncio.to_thread(_copy_is_level, stage)
        await asyncio.to_thread(system.kill_everything)
        dead = time.monotonic()
        for worker in system.workers:
            worker.start(wait=False)
        for worker in system.workers:
            await asyncio.to_thread(worker.wait_ready)
        stage.note = f"cold workers serve after {time.monotonic() - dead:.1f} s"
        assert await stage.sweep(ledger.world.alive()) == []
        stage.go_on()
        stage.begins()
        await stage.enough()
        stage.lifted()
        stage.stands_still(dead, stage.ended, ["LOCAL_COPY"])
        await asyncio.to_thread(system.mend)
        await stage.recovered()


async def test_one_redis_comes_back_empty(ledger: Ledger) -> None:
    first = ledger.system.replicas[0]
    async with show(ledger, "redis-empty") as stage:
        stage.begins()
        await asyncio.to_thread(first.kill)
        first.wipe()
        await _comes_back(stage, first)


async def test_one_redis_comes_back_older(ledger: Ledger, tmp_path: Path) -> None:
    first = ledger.system.replicas[0]
    aside = tmp_path / "older"
    async with show(ledger, "redis-older") as stage:
        await asyncio.to_thread(first.stop)
        shutil.copytree(first.data_directory, aside)
        await asyncio.to_thread(first.start)
        await stage.until_healthy()
        await asyncio.sleep(2)
        stage.begins()
        await asyncio.to_thread(first.kill)
        first.wipe()
        shutil.copytree(aside, first.data_directory)
        await _comes_back(stage, first)


async def test_one_redis_is_loading(ledger: Ledger) -> None:
    first = ledger.system.replicas[0]
    async with show(ledger, "redis-loading") as stage:
        await asyncio.to_thread(_make_heavy, first)
        await stage.until_healthy()
        stage.begins()
        loading_s, part = 0.0, 0.0
        while part < 1.0:
            part = min(1.0, part + 0.25)
            stage.broken()
            await asyncio.to_thread(first.kill)
            first.start(wait=False)
            loading_s += await asyncio.to_thread(_loading_s, first)
            stage.broken()
            await stage.enough(part)
        assert loading_s > 0
        stage.note = f"{loading_s:.1f} s of it -LOADING"
        stage.lifted()
        with Redis(port=first.port, socket_timeout=30) as client:
            client.unlink("foreign")
        await stage.recovered()


async def test_the_memory_of_both_is_full(ledger: Ledger) -> None:
    full = (partial(_limit, memory="1mb"), partial(_limit, memory="512mb"))
    async with show(ledger, "redis-full") as stage:
        await harmed(stage, ledger.system.replicas, full, ["REPLICA_A", "REPLICA_B"])


async def _comes_back(stage: Stage, first: RedisServer) -> None:
    """Start A's Redis, and let its projector catch up when half of the row is over.

    So it stays as it is for a while, not for the second that its projector needs.
    """
    projector = stage.system.projectors[0]
    await asyncio.to_thread(projector.freeze)
    await asyncio.to_thread(first.start)
    await stage.enough(0.5)
    stage.broken()
    projector.thaw()
    await stage.enough()
    stage.lifted()
    await stage.recovered()


def _copy_is_level(stage: Stage) -> None:
    began = time.monotonic()

    def level() -> bool:
        told = stage.system.workers[0].get("/health/ready")["localCopy"]
        age_ms = told["ageMs"]
        return age_ms is not None and age_ms / 1000 < time.monotonic() - began

    wait_until(level, what="the copy level", timeout_s=60)


def _limit(replica: RedisServer, memory: str) -> None:
    with Redis(port=replica.port, socket_timeout=5) as client:
        client.config_set("maxmemory", memory)


def _make_heavy(replica: RedisServer) -> None:
    with Redis(port=replica.port, socket_timeout=30) as client:
        for start in range(0, FOREIGN, _CHUNK):
            client.zadd("foreign", {str(each): each for each in range(start, start + _CHUNK)})


def _loading_s(replica: RedisServer) -> float:
    """Wait until it answers, and say for how long it said that it is loading."""
    since: float | None = None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", replica.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                told = connection.recv(64)
        except OSError:
            told = b""
        if told.startswith(b"-LOADING"):
            since = since or time.monotonic()
        if told.startswith(b"+PONG"):
            return 0.0 if since is None else time.monotonic() - since
        time.sleep(0.01)
    pytest.fail("it never answered")
