"""The lock of a rebuild: one that was lost ends the work; one that nobody else has had doesn't."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from ledger.settings import read_settings
from projector.read_model.memory import MemoryReadModel
from projector.rebuild import lock
from projector.rebuild.intent import HOLDER
from projector.rebuild.lock import HELD_MS, LostLockError, held
from projector.rebuild.site import Site
from tests.projector.rebuild.rebuilding import environment, intent
from tests.projector.replica import eventually
from tests.servers import ROOT, RedisServer


class Clock:
    """The replica's."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model(clock: Clock) -> MemoryReadModel:
    return MemoryReadModel(clock=clock)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_RENEW_S", 0.01)
    monkeypatch.setattr(lock, "_AGAIN_S", 0.05)


async def _taken_by_another(model: MemoryReadModel, clock: Clock, *, gives_back: bool) -> None:
    """As another process does while this one stands still for longer than the lock is held."""
    clock.now_s += HELD_MS / 1000 + 1
    assert await model.hold(HOLDER, "another", HELD_MS)
    await lock.note_last(model, "another")
    if gives_back:
        await model.release(HOLDER, "another")


@pytest.mark.parametrize("gives_back", [False, True], ids=["still there", "gone again"])
async def test_a_lost_lock_ends_the_work(
    model: MemoryReadModel,
    clock: Clock,
    gives_back: bool,  # noqa: FBT001 - a case
) -> None:
    done = []

    async def work() -> None:
        async with held(model, wait_s=0) as is_alone:
            assert is_alone
            await _taken_by_another(model, clock, gives_back=gives_back)
            try:
                await asyncio.sleep(30)
            finally:
                done.append("cleaned up")
            done.append("worked on")

    with pytest.raises(LostLockError, match="another process works on a rebuild of this replica"):
        await work()
    assert done == ["cleaned up"]
    assert await model.get([HOLDER]) == [None if gives_back else b"another"]
    # The task that held it isn't cancelled by that.
    await asyncio.sleep(0)


async def test_work_that_a_cancellation_does_not_end_is_cancelled_again(
    model: MemoryReadModel, clock: Clock
) -> None:
    swallowed = 0

    async def work() -> None:
        nonlocal swallowed
        async with held(model, wait_s=0):
            await _taken_by_another(model, clock, gives_back=False)
            for _ in range(3):
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    swallowed += 1

    with pytest.raises(LostLockError):
        await work()
    assert swallowed == 3
    await asyncio.sleep(0)


async def test_a_lock_that_nobody_else_has_had_is_taken_again(
    model: MemoryReadModel, clock: Clock
) -> None:
    async with held(model, wait_s=0):
        for _ in range(3):
            clock.now_s += HELD_MS / 1000 + 1
            await asyncio.sleep(0.05)
            assert await model.get([HOLDER]) != [None]
    assert await model.get([HOLDER]) == [None]
    async with held(model, wait_s=0) as is_alone:
        assert is_alone
        await asyncio.sleep(0.05)


async def test_who_is_cancelled_by_somebody_else_is_cancelled(model: MemoryReadModel) -> None:
    async def work() -> None:
        async with held(model, wait_s=0):
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await model.get([HOLDER]) == [None]


SLEEPS = """
import asyncio
from projector.rebuild import exchange

async def undo(*_, **__):
    await asyncio.sleep(100)

exchange.undo = undo
"""


@pytest.mark.slow
async def test_a_process_that_stood_still_works_on_beside_nobody(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    env = environment([redis_server.url])
    (tmp_path / "sitecustomize.py").write_text(SLEEPS)
    kept = {name: value for name, value in os.environ.items() if name[:7] != "LEDGER_"}
    kept |= {**env, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    line = [sys.executable, "-c", "from cli.main import main; main()", "rebuild", "undo"]
    site = Site(read_settings(env), 0)
    try:
        await site.store.intend(intent("window", until_ms=2**50))
        process = await asyncio.create_subprocess_exec(*line, env=kept, stderr=PIPE)
        try:

            async def holds() -> bool:
                return await site.model.get([HOLDER]) != [None]

            await eventually(holds, what="the lock is held")
            process.send_signal(signal.SIGSTOP)
            async with site.alone():
                process.send_signal(signal.SIGCONT)
                _, errors = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
    finally:
        await site.close()
    assert process.returncode == 1, errors
    assert b"another process works on a rebuild of this replica" in errors
    assert b"Traceback" not in errors
