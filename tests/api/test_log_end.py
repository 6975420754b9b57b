"""A log that ends before what was folded of it takes nothing: it was truncated, or is older."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.log_end import LogBehindError, LogEnd, farthest
from api.standing import Standing
from api.start import Gatekeeper
from ledger.event_log.memory import MemoryLog
from ledger.event_log.port import AppendRefused, Topic
from projector.read_model.keys import CATALOG
from projector.views.documents import Head
from tests.cli.damage import EVENTS, Damaged
from tests.servers import wait_until
from tests.system import System, running
from tests.vendor import Vendor, machine_body

LIMIT_S = 20.0


class Ledger:
    """A log in memory, what was folded of it, and the gatekeeper that its end is followed for."""

    def __init__(self) -> None:
        self.log = MemoryLog(2)
        self.gatekeeper = Gatekeeper(self.log)
        self.folded: dict[int, tuple[int, str]] = {}
        self.end = LogEnd(self.log, lambda: dict(self.folded))

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        following = asyncio.create_task(self.end.follow(self.gatekeeper))
        try:
            yield
        finally:
            following.cancel()

    async def until(self, closed: str | None) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.gatekeeper.closed != closed:
                await asyncio.sleep(0.01)


@pytest.fixture
async def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr("api.log_end.LOOK_S", 0.01)
    monkeypatch.setattr("api.log_end._AGAIN_S", 0.01)
    monkeypatch.setattr("api.log_end.BEHIND_S", 0.1)
    monkeypatch.setattr("api.start.OPEN_S", 0.0)
    found = Ledger()
    for partition in range(2):
        await found.log.append(Topic.LICENSE_EVENTS, partition, key=b"k", value=b"v")
    await found.log.append(Topic.CATALOG_EVENTS, 0, key=b"k", value=b"v")
    return found


BEHIND = "the log ends before what the replicas have folded of it"


@pytest.mark.parametrize("place", [0, 1, CATALOG])
async def test_what_was_folded_beyond_the_end_shuts_and_opens_again(
    ledger: Ledger, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.folded = {0: (1, "A"), 1: (1, "A"), CATALOG: (0, "A")}
    async with ledger.followed():
        await ledger.until(None)
        ledger.folded[place] = (2, "B")
        await ledger.until(BEHIND)
        with pytest.raises(LogBehindError):
            await ledger.gatekeeper.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
        [told] = [one for one in caplog.records if getattr(one, "fields", {}).get("alarm")]
        assert "ends at 1, and replica B is at 2: nothing is written" in told.message
        ledger.folded[place] = (1, "B")
        await ledger.until(None)


async def test_it_never_opens_on_a_log_that_is_behind(ledger: Ledger) -> None:
    ledger.folded = {0: (2, "LOCAL")}
    async with ledger.followed():
        for _ in range(5):
            await asyncio.sleep(0)
            with pytest.raises(AppendRefused):
                await ledger.gatekeeper.append(Topic.LICENSE_EVENTS, 0, key=b"k", value=b"v")
        await ledger.until(BEHIND)


async def test_a_moment_and_a_log_that_is_away_change_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.log_end.BEHIND_S", 60.0)
    async with ledger.followed():
        await ledger.until(None)
        ledger.folded = {0: (2, "A")}
        await asyncio.sleep(0.1)
        assert ledger.gatekeeper.closed is None
        ledger.log.unreachable = True
        await asyncio.sleep(0.1)
        assert ledger.gatekeeper.closed is None


def test_the_replica_that_is_farthest_counts_and_none_that_does_not_answer() -> None:
    one, other = Standing("A", 1), Standing("B", 1)
    one.note_heads([Head(position=7), Head(position=2)], [0, 0])
    other.note_heads([Head(position=5), Head(position=3)], [0, 0])
    assert farthest([one, other]) == {0: (7, "A"), CATALOG: (3, "B")}
    one.lose()
    assert farthest([one, other]) == {0: (5, "B"), CATALOG: (3, "B")}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, workers=1) as started:
        yield started


@pytest.mark.slow
async def test_nothing_is_appended_to_an_older_log_and_checks_go_on(system: System) -> None:
    async with system.client() as client:
        vendor = Vendor([client], system.ledger)
        license_ = await vendor.issue(maxMachines=5)
        for fingerprint in ("one", "two"):
            await vendor.activate(license_["id"], fingerprint)
        await asyncio.to_thread(system.wait_level)
    log = Damaged(system.env)
    whole = await asyncio.to_thread(log.records)
    older = {place: one[: max(1, len(one) - 1)] for place, one in whole.items()}

    # While it runs.
    await asyncio.to_thread(log.remake, EVENTS, older)
    await shut(system, license_)
    assert lengths(await asyncio.to_thread(log.records)) == lengths(older)
    # As it was: writes open by themselves, once projectors fold again.
    await asyncio.to_thread(log.remake, EVENTS, whole)
    for projector in system.projectors:
        await asyncio.to_thread(projector.stop)
        await asyncio.to_thread(projector.start)
    await asyncio.to_thread(wait_until, lambda: not why(system), what="writes", timeout_s=60)
    # And from its start on.
    await asyncio.to_thread(system.workers[0].stop)
    await asyncio.to_thread(log.remake, EVENTS, older)
    await asyncio.to_thread(system.workers[0].start)
    await shut(system, license_)
    assert lengths(await asyncio.to_thread(log.records)) == lengths(older)


def lengths(records: Mapping[int, Sequence[object]]) -> dict[int, int]:
    return {place: len(one) for place, one in records.items()}


async def shut(system: System, license_: dict[str, Any]) -> None:
    """Wait until the worker says why it writes nothing, and see that it checks all the same."""
    worker = system.workers[0]
    await asyncio.to_thread(
        wait_until, lambda: f"writes: {BEHIND}" in why(system), what="it is shut", timeout_s=60
    )
    assert '"alarm":"log-behind"' in worker.log_path.read_text(encoding="utf-8")
    async with system.client() as client:
        refused = await client.post("/v1/machines", json=machine_body(license_["id"], "three"))
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        [error] = refused.json()["errors"]
        assert error["code"] == "LOG_BEHIND", error
        checked = await Vendor([client], system.ledger).check(
            license_["attributes"]["key"], fingerprint="two"
        )
        assert checked["meta"]["code"] == "VALID"


def why(system: System) -> list[str]:
    """What is degraded of writes."""
    told: list[str] = system.workers[0].get("/health/ready")["degraded"]
    return [one for one in told if one.startswith("writes: ")]
