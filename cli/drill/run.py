"""A drill from start to end: both sides made, the phases gone through, everything judged.

Whatever ends it, what it started is ended and what it made is removed.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from cli.drill import script, sides
from cli.drill.database import DATA, TABLE, Database
from cli.drill.outcome import Outcome, PhaseName, SideName
from cli.drill.play import Play
from cli.drill.postgres import INSTALL, programs
from cli.drill.scratch import Scratch, scratch
from cli.drill.screen import Screen
from cli.drill.sides import Crowd
from cli.drill.tally import seconds
from cli.drill.telling import outcome, versions
from cli.drill.volume import volume
from cli.local.ports import free_ports
from cli.maintenance.planning import plan_reindex
from cli.maintenance.size import size
from cli.trouble import Missing

_LOOK_S: Final = 0.5
_WARM_LIMIT_S: Final = 20.0
_REINDEX_ROOM: Final = "ballast"
_REST: Final = "everything-else"


def drill(screen: Screen) -> Outcome:
    """Run it. Raises `Missing` where there is no Postgres, `Failed`, `KeyboardInterrupt`."""
    if programs() is None:
        raise Missing(f"the drill is SKIPPED: Postgres isn't installed ({INSTALL})")
    with scratch(screen.line) as here:
        try:
            return asyncio.run(_Drill(here, screen).run())
        except asyncio.CancelledError:
            # By SIGTERM or SIGHUP: it ends as by Ctrl-C.
            raise KeyboardInterrupt from None
        finally:
            screen.settle()
            screen.line("ending and removing everything")


class _Drill:
    def __init__(self, here: Scratch, screen: Screen) -> None:
        self._here = here
        self._screen = screen
        self._play = Play()
        self._started = time.monotonic()
        self._date = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    async def run(self) -> Outcome:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        prefix, separated = sides.own_core()
        self._volume = await asyncio.to_thread(volume, self._here)
        self._screen.line(f"volume: {self._volume.words}")
        if self._volume.trouble is not None:
            self._screen.line(f"disk full: SKIPPED ({self._volume.trouble})", style="yellow")
        [port, other] = free_ports(2)
        self._database = Database(self._here, self._volume, port, prefix)
        try:
            naive, ledger = await asyncio.gather(
                self._make_naive(other, prefix), self._make_ledger()
            )
            parts = await asyncio.to_thread(versions, self._database.version)
            self._crowds = {SideName.NAIVE: naive, SideName.LEDGER: ledger}
            await self._warm_up()
            await self._performed()
        finally:
            # Whoever waits for it in a thread comes to an end with it.
            self._database.die()
        return self._outcome(parts, separated)

    async def _make_naive(self, port: int, prefix: list[str]) -> Crowd:
        await asyncio.to_thread(self._database.make)
        await asyncio.to_thread(self._database.start)
        ids = await asyncio.to_thread(self._database.fill_in, sides.keys())
        url = await sides.start_naive(self._here, self._database, port, prefix)
        self._screen.line("the naive service and its Postgres: ready")
        return Crowd(self._here, SideName.NAIVE, url, ids)

    async def _make_ledger(self) -> Crowd:
        url, token = await sides.start_ledger(self._here)
        ids = await sides.issue(url, token)
        self._screen.line("the ledger: ready")
        return Crowd(self._here, SideName.LEDGER, url, ids, token=token)

    async def _warm_up(self) -> None:
        """Wait until both sides have answered everything for a while."""
        deadline = time.monotonic() + _WARM_LIMIT_S
        while time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            since = time.monotonic() - script.WARM_S
            lately = [
                [one.ok for one in crowd.asked if one.at_s > since]
                for crowd in self._crowds.values()
            ]
            known = [crowd.asked and crowd.asked[0].at_s < since for crowd in self._crowds.values()]
            if all(known) and all(map(all, lately)):
                break

    async def _performed(self) -> None:
        """Go through all phases, and let the clients come to their end."""
        self._play.began = time.monotonic()
        for crowd in self._crowds.values():
            crowd.begin(self._play.began)
        titles: dict[int, str] = {}
        showing = asyncio.create_task(self._show(titles))
        try:
            await self._perform()
            self._play.enter(None)
            length_s = self._play.at_s
            for crowd in self._crowds.values():
                await crowd.end()
            self._show_until(length_s, titles, settled=math.ceil(length_s))
        finally:
            showing.cancel()
            self._screen.settle()

    async def _perform(self) -> None:
        await self._hold(PhaseName.HEALTHY)
        await self._reindex()
        await self._lock()
        await self._hang()
        await self._die()
        await self._return()
        await self._hold(PhaseName.AFTERWARDS)

    async def _hold(self, name: PhaseName) -> None:
        """Enter a phase and let it last."""
        if self._play.now != name:
            self._play.enter(name)
        await asyncio.sleep(script.SCENES[name].lasts_s)

    async def _reindex(self) -> None:
        database, small = self._database, self._volume
        await asyncio.to_thread(database.trim)
        if small.trouble is None:
            small.fill(_REINDEX_ROOM, leave=script.ROOM_MB << 20)
        await self._plan()
        self._play.enter(PhaseName.REINDEX)
        self._play.happened("LOCK TABLE machines; REINDEX TABLE machines")
        said = await asyncio.to_thread(database.reindex, script.LOCKED_FIRST_S)
        self._play.happened("the rebuild came to its end" if said is None else f"Postgres: {said}")
        await asyncio.to_thread(database.wait)
        if small.trouble is not None:
            self._play.skip(PhaseName.DISK_FULL, small.trouble)
            return
        self._play.enter(PhaseName.DISK_FULL)
        small.fill(_REST, leave=0)
        said = await asyncio.to_thread(database.press, script.PRESS_S)
        self._play.happened("it took all that was written" if said is None else f"Postgres: {said}")
        await asyncio.sleep(script.SCENES[PhaseName.DISK_FULL].lasts_s)
        self._play.enter(PhaseName.CLEANUP)
        for name in (_REINDEX_ROOM, _REST):
            small.make_room(name)
        self._play.happened("room was made on the database's disk")
        await asyncio.to_thread(database.wait)
        await asyncio.sleep(script.SCENES[PhaseName.CLEANUP].lasts_s)

    async def _plan(self) -> None:
        """Say what `ledger maintenance` would have said before: nobody asked, on the real day."""
        plan = await asyncio.to_thread(
            plan_reindex,
            self._database.url,
            TABLE,
            data_directory=self._volume.seen / DATA,
        )
        free = "unknown" if plan.free_bytes is None else size(plan.free_bytes)
        self._play.happened(
            f"`ledger maintenance plan reindex {TABLE}` says "
            f"{'GO' if plan.go else 'NO-GO, and is overruled'}: "
            f"{size(plan.gate_bytes)} have to be free, {free} are"
        )

    async def _lock(self) -> None:
        self._play.enter(PhaseName.LOCK)
        await asyncio.to_thread(self._database.lock)
        self._play.happened("LOCK TABLE licenses IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(script.SCENES[PhaseName.LOCK].lasts_s)

    async def _hang(self) -> None:
        self._play.enter(PhaseName.HANG)
        self._database.hang()
        self._play.happened("SIGSTOP to all processes of Postgres")
        self._crowds[SideName.NAIVE].change(neutralized=True)
        self._play.neutralized_at = self._play.at_s
        self._play.happened("checks of the naive service are neutralized by hand")
        await asyncio.sleep(script.SCENES[PhaseName.HANG].lasts_s)

    async def _die(self) -> None:
        self._play.enter(PhaseName.DEATH)
        await asyncio.to_thread(self._database.die)
        self._play.happened("SIGKILL to all processes of Postgres")
        await asyncio.sleep(script.SCENES[PhaseName.DEATH].lasts_s)

    async def _return(self) -> None:
        self._play.enter(PhaseName.RETURN)
        naive, ledger = (self._crowds[side] for side in SideName)
        naive.change(times=script.EVERYBODY, neutralized=True)
        ledger.change(times=script.EVERYBODY)
        self._play.happened("Postgres is started; everybody comes back at once")
        begun = self._play.at_s
        starting = asyncio.create_task(asyncio.to_thread(self._database.start))
        await asyncio.sleep(script.AT_ONCE_S)
        naive.change(neutralized=True)
        ledger.change()
        await starting
        left = script.SCENES[PhaseName.RETURN].lasts_s - (self._play.at_s - begun)
        await asyncio.sleep(max(left, 0))
        naive.change()
        if self._play.neutralized_at is not None:
            self._play.neutralized = (self._play.neutralized_at, self._play.at_s)
        self._play.happened("the naive service's checks count again")

    def _outcome(self, parts: dict[str, str], separated: str) -> Outcome:
        return outcome(
            self._play,
            {side: self._crowds[side].asked for side in SideName},
            began=self._date,
            took_s=time.monotonic() - self._started,
            tier=self._volume.words,
            separated=separated,
            versions=parts,
        )

    async def _show(self, titles: dict[int, str]) -> None:
        while True:
            now = self._play.at_s
            titles.setdefault(int(now), script.SCENES[self._play.now].title)
            self._show_until(now, titles, settled=int(now - script.TIMEOUT_S))
            await asyncio.sleep(_LOOK_S)

    def _show_until(self, now: float, titles: Mapping[int, str], *, settled: int) -> None:
        naive, ledger = (seconds(self._crowds[side].asked, now) for side in SideName)
        rows = [
            (at, titles.get(at, ""), one, other)
            for at, (one, other) in enumerate(zip(naive, ledger, strict=True))
        ]
        scene = script.SCENES[self._play.now]
        self._screen.seconds(rows, f"{scene.title}: {scene.about}", settled=settled)
