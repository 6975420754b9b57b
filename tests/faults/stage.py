"""One fault, shown: checks and writes run, something breaks, is mended, and all is judged.

A row's test does the breaking and the mending between `begins`, `lifted` and `recovered`; what is
counted in the table is what was sent between `begins` and `lifted`. What was sent before and after
is judged as strictly.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import orjson

from tests.faults.asking import Broken, Peer, request
from tests.faults.counts import Counts, count
from tests.faults.driver import PATH, OpenLoop, said
from tests.faults.final import differences
from tests.faults.ledger import Ledger
from tests.faults.results import record
from tests.faults.truth import WRONG, Check, Judge, Judged, Standstill, code
from tests.faults.world import Known
from tests.faults.writing import Vendor

RATE: Final = float(os.environ.get("FAULTS_RATE") or 600)
"""Checks a second; a machine that is busy with other things needs fewer of an open loop."""
CHECKS: Final = int(os.environ.get("FAULTS_CHECKS") or 4_000)
"""Under each fault, at the least: `make faults` asks for the 30,000 that the page promises."""
WRITES: Final = 15.0
HEALTHY_S: Final = 2.0
RECOVERY_S: Final = 90.0
"""Ten times what the slowest is promised; how long it took is in the table."""
MOMENT_S: Final = 5.0
"""The fail-over moment, ten times as long as it may be."""
UNANSWERED_MAX: Final = 0.0001
_POLL_S: Final = 0.05


class Stage:
    """A running system under checks and writes.

    `checks`: how many a fault has to meet, at `rate` a second. `moments`: when something was broken
    or mended.
    """

    def __init__(self, ledger: Ledger, *, checks: int, seed: int, rate: float = RATE) -> None:
        system, world = ledger.system, ledger.world
        self.system = system
        self.world = world
        self.peers = [Peer(worker.port) for worker in system.workers]
        self.loop = OpenLoop(self.peers, system.ledger, world.draw, rate=rate)
        self.vendor = Vendor(world, self.peers, rate=WRITES, seed=seed)
        self.moments: list[float] = []
        self.recovery_s: float | None = None
        self.began = self.ended = 0.0
        self.note = ""
        self._least = checks
        self._standstills: list[Standstill] = []
        self._tries: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._sent_before = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to ask and to write, and wait until that goes well."""
        self.go_on()
        await asyncio.sleep(HEALTHY_S)
        await self.until_healthy()

    def go_on(self) -> None:
        """Ask and write, also after a stop: where no worker runs, nobody can be asked."""
        self.ask()
        self.write()

    def ask(self) -> None:
        """Send checks until the next stop."""
        self._tasks.append(asyncio.create_task(self.loop.run()))

    def write(self) -> None:
        """Write until the next stop."""
        self._tasks.append(asyncio.create_task(self.vendor.run()))

    def begins(self) -> None:
        """From now on the fault counts; call it just before the breaking."""
        self.began = time.monotonic()
        self._sent_before = self.loop.sent
        self._tries = (self.vendor.tries.copy(), Counter())
        self.moments.append(self.began)

    def broken(self) -> float:
        """Note that something more was broken, or mended, in this moment; gives the moment."""
        self.moments.append(time.monotonic())
        return self.moments[-1]

    async def enough(self, part: float = 1.0) -> None:
        """Wait until the fault, or a part of it, has met as many checks as it has to."""
        wanted = self._sent_before + self._least * part
        while self.loop.sent < wanted:
            await asyncio.sleep(_POLL_S)

    def stands_still(self, since: float, until: float, sources: Sequence[str]) -> None:
        """Say that nothing of these sources became level in this time."""
        self._standstills.append(Standstill(since=since, until=until, sources=sources))

    def lifted(self) -> None:
        """Call it when the mending begins: what is sent from now on isn't the fault's any more."""
        self.ended = self.broken()
        self._tries = (self._tries[0], self.vendor.tries.copy())

    async def recovered(self, *, degraded: Iterable[str] = ()) -> None:
        """Wait until no worker says that anything is wrong, but for `degraded`, and writes work."""
        await self.until_healthy(degraded=degraded)
        async with asyncio.timeout(RECOVERY_S):
            while not any(at > self.ended for at in self.vendor.granted_at):
                await asyncio.sleep(_POLL_S)
        self.recovery_s = time.monotonic() - self.ended

    async def until_healthy(self, *, degraded: Iterable[str] = ()) -> None:
        """Wait until no worker says that anything is wrong, but for what begins so."""
        ignored = tuple(degraded)
        last: object = None
        deadline = time.monotonic() + RECOVERY_S
        while True:
            told = [await self._health(peer) for peer in self.peers]
            last = [each for each in told if each is None or _wrong(each, ignored)]
            if not last:
                return
            assert time.monotonic() < deadline, f"not healthy in {RECOVERY_S:.0f} s: {last}"
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Ask and write no more; wait for the checks that are open."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        await self.loop.finish()

    def judged(self) -> list[tuple[Judged, Check]]:
        """All checks, judged by what was acknowledged."""
        began = self.began or float("inf")
        judge = Judge(
            acknowledged=self.world.acknowledged(),
            began=self.world.began,
            standstills=self._standstills,
            calm=[(0.0, began)],
        )
        return [(judge(check), check) for check in self.loop.checks]

    def counts(self) -> Counts:
        """Count what the fault did."""
        return count(
            self.judged(),
            began=self.began,
            ended=self.ended,
            tries=self._tries[1] - self._tries[0],
            moments=self.moments,
            moment_s=MOMENT_S,
        )

    async def sweep(self, every: Sequence[Known]) -> list[str]:
        """Ask for each license, and its newest machine: complaints where it isn't as it stands."""
        gate, complaints = asyncio.Semaphore(32), []

        async def ask(number: int, known: Known) -> None:
            last = known.story.last
            fingerprint = next(iter(last.machines), None)
            scope = {} if fingerprint is None else {"fingerprint": fingerprint}
            content = request("POST", PATH, {"meta": {"key": known.key, "scope": scope}})
            async with gate:
                try:
                    reply = await self.peers[number % len(self.peers)].ask(content, 10)
                except (Broken, TimeoutError) as error:
                    complaints.append(f"no answer: {error!r}")
                    return
            now_ms = time.time() * 1000
            answer = said(reply, self.system.ledger)
            right = {code(last, fingerprint, now_ms + slack) for slack in (-1_000, 1_000)}
            if answer is None or answer.code not in right:
                complaints.append(f"{answer or reply.body[:300]!r}, and it is {right}")

        await asyncio.gather(*(ask(number, known) for number, known in enumerate(every)))
        return complaints

    async def _health(self, peer: Peer) -> dict[str, object] | None:
        try:
            reply = await peer.ask(request("GET", "/health/ready"), 5)
            told: dict[str, object] = orjson.loads(reply.body)
        except (Broken, TimeoutError):
            return None
        return told


def _wrong(told: dict[str, object], ignored: tuple[str, ...]) -> bool:
    degraded = told["degraded"]
    assert isinstance(degraded, list)
    return any(not each.startswith(ignored) if ignored else True for each in degraded)


@asynccontextmanager
async def watch(
    ledger: Ledger, *, checks: int, seed: int = 1, rate: float = RATE
) -> AsyncIterator[Stage]:
    """Ask and write while the block runs; whatever was unsettled then is unknown for ever."""
    stage = Stage(ledger, checks=checks, seed=seed, rate=rate)
    try:
        await stage.start()
        yield stage
    finally:
        await stage.stop()
        await stage.vendor.give_up()
        for peer in stage.peers:
            peer.close()


@asynccontextmanager
async def show(
    ledger: Ledger,
    row: str,
    *,
    checks: int = CHECKS,
    seed: int = 1,
    rate: float = RATE,
    comes_back: bool = True,
) -> AsyncIterator[Stage]:
    """Show a row's fault: judge all that was answered, record it, and see that all is there.

    `comes_back`: whether it is whole again without a person. Raises AssertionError for anything
    wrong, unanswered, lost or different.
    """
    async with watch(ledger, checks=checks, seed=seed, rate=rate) as stage:
        yield stage
        await stage.stop()
        if comes_back:
            await stage.vendor.finish()
        else:
            await stage.vendor.give_up()
        counts = stage.counts()
        record(row, counts.figures, stage.recovery_s, stage.note)
        lost: list[str] = []
        different: list[str] = []
        if comes_back:
            await asyncio.to_thread(ledger.system.wait_level)
            lost = await stage.sweep(ledger.world.written)
            different = await asyncio.to_thread(differences, ledger.system)
        assert counts.checks >= checks
        _see(stage, counts, lost, different)


def _see(stage: Stage, counts: Counts, lost: list[str], different: list[str]) -> None:
    wrong = [(judged, check) for judged, check in stage.judged() if judged in WRONG]
    assert not wrong, "\n".join(told(*each) for each in wrong[:5])
    assert not stage.vendor.complaints, stage.vendor.complaints[:5]
    assert not lost, lost[:5]
    assert not different, different[:5]
    assert not counts.out_of_moment, [told(*each) for each in counts.out_of_moment[:5]]
    assert counts.not_answered <= UNANSWERED_MAX * counts.checks


def told(judged: Judged, check: Check) -> str:
    """Say what was wrong with an answer; no key stands in it."""
    story = check.story
    changes = [(each.offset, each.state, each.at - check.sent) for each in story.changes[-4:]]
    return (
        f"{judged}: {check.said} of partition {story.partition} by worker {check.worker} "
        f"after {check.answered - check.sent:.3f} s; changes (offset, state, s from then on): "
        f"{changes}, unsettled {story.unsettled}"
    )
