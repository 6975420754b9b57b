"""Killed at any point: it goes on where it was or says why not, and what serves never changes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from projector.rebuild.exchange import finish
from tests.activity import Activity
from tests.projector.rebuild.rebuilding import at, generations, served
from tests.projector.replica import PARTITIONS, Replica, eventually, replica_on
from tests.servers import ROOT, KafkaServer, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 10
COMMAND = [sys.executable, "-c", "from cli.main import main; main()", "rebuild", "run"]
LIMIT_S = 240.0


@contextmanager
def rebuilding(settings: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`ledger rebuild run`, as its users start it; killed at the end if it still runs."""
    environment = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    environment |= {**settings, "PYTHONPATH": str(ROOT)}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*COMMAND, "--builders", "2"],
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(LIMIT_S)


async def ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, LIMIT_S)


def builders_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes of its session that are left, by /proc; none where there is no such thing."""
    left = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(process.pid) and fields[0] != "Z":
            left.append(int(entry.parent.name))
    return left


async def _filled(replica: Replica, events: int) -> None:
    await replica.append(
        list(Activity(31, partitions=PARTITIONS, licenses=300).appendables(events))
    )
    await replica.start()
    await replica.level()


async def _whole(replica: Replica) -> None:
    """What was built serves, nothing else is left, and it is what the log says."""
    async with at(replica) as site:
        [generation] = await served(site)
        assert generation != "1"
        async with site.alone():
            intent = await site.store.intent()
            assert intent is not None
            assert intent.phase == "window"
            await finish(site, intent)
        assert generations(replica) == {generation}
    replica.generation = generation
    await replica.assert_equals_an_independent_fold()


def by_chance() -> Random:
    """Another one each time, which is printed; KILLS_SEED has it as it was."""
    seed = int(os.environ.get("KILLS_SEED", time.time_ns() % 1_000_000))
    sys.stderr.write(f"KILLS_SEED={seed}\n")
    return Random(seed)


async def _built(replica: Replica) -> int:
    """Records of the partitions that are built by now, of a rebuild that was killed meanwhile."""
    async with at(replica) as site:
        intent = await site.store.intent()
        if intent is None or intent.phase != "building":
            return 0
        heads = await site.heads(intent.generation)
        return sum(end for place, end in enumerate(intent.ends) if heads[place].position)


def _counted(log: Path) -> list[int]:
    """Records that were folded, as each line that tells of building says."""
    said = re.findall(r"^building: .*?([\d,]+) of [\d,]+ events", log.read_text(), re.MULTILINE)
    return [int(one.replace(",", "")) for one in said]


async def test_killed_at_ten_points(replica: Replica, tmp_path: Path) -> None:
    await _filled(replica, 12_000)
    random, log, kills = by_chance(), tmp_path / "rebuild.log", 0
    while kills < KILLS:
        before = await _built(replica)
        log.write_bytes(b"")
        with rebuilding(replica.environment, log) as process:
            try:
                # A start takes a second or two, all of it some eight.
                await asyncio.wait_for(ended(process), random.uniform(1.0, 7.0))
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                kills += 1
            await ended(process)

            async def gone(process: subprocess.Popen[bytes] = process) -> bool:
                return not builders_of(process)

            await eventually(gone, what="no builder outlives who started it")
        assert process.returncode in {0, -signal.SIGKILL}, log.read_text()
        assert all(count >= before for count in _counted(log)), (before, log.read_text())
        async with at(replica) as site:
            serving, intent = await served(site), await site.store.intent()
            if intent is None or intent.phase in {"building", "proved"}:
                assert serving == {replica.generation}
                await replica.assert_equals_an_independent_fold()
            elif intent.phase == "window":
                # It came to its end: then the next one.
                assert serving == {intent.generation}
                async with site.alone():
                    await finish(site, intent)
                replica.generation = intent.generation
            else:
                assert intent.phase == "flipping"
                assert serving <= {intent.generation, intent.previous}
    async with at(replica) as site:
        if (intent := await site.store.intent()) is None or intent.phase != "window":
            with rebuilding(replica.environment, log) as process:
                assert await ended(process) == 0, log.read_text()[-2000:]
    await _whole(replica)


async def test_a_killed_redis_and_a_killed_broker(
    own_kafka_server: KafkaServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with replica_on(own_kafka_server, redis_server, "killed.", tmp_path) as replica:
        await _filled(replica, 9_000)
        log = tmp_path / "rebuild.log"
        for server in (redis_server, own_kafka_server):
            for delay_s in (2.0, 3.5, 5.0):
                log.write_bytes(b"")
                with rebuilding(replica.environment, log) as process:
                    try:
                        await asyncio.wait_for(ended(process), delay_s)
                    except TimeoutError:
                        await asyncio.to_thread(server.kill)
                        await asyncio.to_thread(server.start)
                    await ended(process)
                said = log.read_text()
                assert "Traceback" not in said, said[-3000:]
                # It came to its end, or says that the same command goes on, which 3 tells programs.
                assert process.returncode in {0, 1, 3}, said
                if process.returncode:
                    assert "goes on where it was" in said.splitlines()[-1], said[-3000:]
                async with at(replica) as site:
                    intent = await site.store.intent()
                    if intent is not None and intent.phase == "window":
                        async with site.alone():
                            await finish(site, intent)
                    [replica.generation] = await served(site)
                await replica.level()
        with rebuilding(replica.environment, log) as process:
            assert await ended(process) == 0, log.read_text()[-2000:]
        await _whole(replica)
