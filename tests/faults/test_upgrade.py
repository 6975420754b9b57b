"""Two releases side by side: everything is upgraded in turn under load, and back again."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from projector.views.digests import MIXED_VIEW, VIEW
from tests.faults.comparing import (
    assert_level_side_by_side,
    assert_once_in_the_log,
    expected,
    held,
    state_of,
    unlike,
    views,
    whole_log,
)
from tests.faults.ledger import UNLIMITED, running_ledger
from tests.faults.releases import LATER_RULES, MARK, Released, other_release
from tests.faults.stage import RATE, Stage, show
from tests.projector.independent import Stored
from tests.servers import ROOT
from tests.system import System

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FILLED = 300
STEPS = 8


async def test_everything_is_upgraded_in_turn_and_back(table: None, tmp_path: Path) -> None:
    later = other_release(tmp_path / "later")
    system = System(tmp_path / "ledger", terms=UNLIMITED)
    projectors = [Released(each) for each in system.projectors]
    workers = [Released(each) for each in system.workers]
    system.projectors, system.workers = [*projectors], [*workers]
    async with (
        running_ledger(system, seed=12, filled=FILLED) as ledger,
        show(ledger, "rolling-upgrade", rate=RATE / 4) as stage,
    ):
        for each in (*projectors, *workers):
            each.assert_release()
        stage.begins()
        await _move(stage, projectors[0], later, 1)
        await assert_level_side_by_side(system)
        await _assert_later_rules_wait(system, later)
        await _move(stage, projectors[1], later, 2)
        await _move(stage, workers[0], later, 3)
        await _move(stage, workers[1], later, 4)

        await _move(stage, workers[1], ROOT, 5)
        await _move(stage, workers[0], ROOT, 6)
        await _move(stage, projectors[1], ROOT, 7)
        await assert_level_side_by_side(system)
        await _move(stage, projectors[0], ROOT, 8)
        stage.lifted()
        await stage.recovered()

        await stage.stop()
        await stage.vendor.finish()
        await asyncio.to_thread(system.wait_level)
        log = await whole_log(system)
        wanted = expected(system, log)
        for number in range(2):
            _assert_one_state_of_two_views(held(system, number), wanted)
        for replica in "AB":
            await _ledger(system, ROOT, "rebuild", "run", "--replica", replica)
            await _ledger(system, ROOT, "rebuild", "finish", "--yes", "--replica", replica)
        for number in range(2):
            assert not unlike(held(system, number, generation="2"), wanted)

        assert_once_in_the_log(log, stage.vendor.settled)
        figures = stage.counts().figures
        assert (figures.unavailable, figures.unanswered, figures.wrong) == (0, 0, 0)


async def _move(stage: Stage, program: Released, source: Path, step: int) -> None:
    """Replace a process by that of a release; wait until all is well, and clients have seen it.

    No write that meets it is repeated more than once.
    """
    settled = stage.vendor.settled
    before = len(settled)
    stage.broken()
    await asyncio.to_thread(program.upgrade, source)
    await stage.until_healthy()
    stage.broken()
    await stage.vendor.pass_on()
    often = [(write.what, write.met) for write in settled[before:] if write.retries > 1]
    assert not often, often[:3]
    await stage.enough(step / STEPS)


async def _assert_later_rules_wait(system: System, later: Path) -> None:
    """Of A's projector, which knows later rules, for B's, which doesn't."""
    known = [
        knows
        for replica in json.loads(await _ledger(system, later, "rules", "--json"))["replicas"]
        for knows in replica["projectors"].values()
    ]
    assert known == [LATER_RULES, LATER_RULES - 1]
    refused = await _ledger(system, later, "rules", "activate", str(LATER_RULES), "--yes", code=1)
    assert f"projector-B-0 knows rules up to {LATER_RULES - 1}" in refused


def _assert_one_state_of_two_views(found: Stored, wanted: Stored) -> None:
    """All is there; licenses that are as the later release has rendered them are told of."""
    assert not unlike(state_of(found), state_of(wanted))
    marked = {
        name.partition("}")[0]
        for name, value in found.items()
        if isinstance(value, bytes) and ":L:" in name and MARK in value
    }
    assert marked
    told = views(found)
    assert told.keys() <= {MIXED_VIEW, VIEW}
    assert marked <= {name.partition("}")[0] for name in told[MIXED_VIEW]}


async def _ledger(system: System, source: Path, *words: str, code: int = 0) -> str:
    """Output of a release's `ledger` command."""
    environment: dict[str, Any] = {**system.env, "PYTHONPATH": str(source), "COLUMNS": "200"}
    command = [sys.executable, "-c", "from cli.start import main; main()", *words]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=environment,
        cwd=system.directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr
