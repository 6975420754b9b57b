"""`ledger drill fifth-of-november` with everything real: its verdict, and that nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.drill.outcome import Outcome, PhaseName, SideName
from cli.drill.postgres import INSTALL, programs
from cli.drill.report import read
from cli.local import processes
from cli.local.processes import Process
from tests.cli.drill.folders import shared_folder
from tests.local import LEDGER, environment, mentioning
from tests.servers import ROOT, end_with_tests, ended, wait_until

LIMIT_S = 180
"""The drill takes less than three minutes."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(programs() is None, reason=f"Postgres isn't installed: {INSTALL}"),
]


class Drill:
    """A drill as somebody starts it in a terminal, with a temporary folder of its own."""

    def __init__(self, folder: Path, **env: str) -> None:
        self._folder = folder
        self.report = folder / "report"
        self.said = folder / "said"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [LEDGER, "drill", "fifth-of-november", "--report", str(self.report)],
                env={**environment(), "TMPDIR": str(folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                start_new_session=True,
            )
        end_with_tests(self.process.pid)

    @property
    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def until(self, *words: str) -> None:
        wait_until(
            lambda: all(word in self.text for word in words) or self.process.poll() is not None,
            what=f"{words} in what the drill says",
            timeout_s=LIMIT_S,
        )
        assert self.process.poll() is None, self.text

    def finished(self) -> Outcome:
        """Its outcome, once it has come to its end."""
        started = time.monotonic()
        code = self.process.wait(LIMIT_S)
        ended(self.process.pid)
        assert code == 0, f"after {time.monotonic() - started:.0f} s:\n{self.text}"
        return read(self.report / "fifth-of-november.json")

    def its_processes(self) -> list[Process]:
        """All that it has started, and what these have."""
        these = processes.children_of(self.process.pid)
        for one in these:
            these += processes.children_of(one.id)
        return these


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


def nothing_is_left(folder: Path) -> None:
    assert mentioning(folder) == []
    [root] = folder.glob("ledger-drill-*")
    assert [entry.name for entry in root.iterdir()] == ["lock"]
    assert str(folder) not in Path("/proc/self/mounts").read_text(encoding="utf-8")


def verdict_holds(outcome: Outcome, phases: list[PhaseName]) -> None:
    assert outcome.verdict.passed, outcome.verdict.reasons
    assert outcome.took_s < LIMIT_S
    assert [phase.name for phase in outcome.phases if phase.skipped is None] == phases
    naive, ledger = outcome.side(SideName.NAIVE), outcome.side(SideName.LEDGER)
    assert sum(figures.checks_failed for figures in ledger.phases) == 0
    assert sum(figures.activations_failed for figures in ledger.phases) == 0
    assert sum(figures.checks for figures in ledger.phases) > 1_500
    failed = {figures.phase: figures for figures in naive.phases}
    for phase in (PhaseName.LOCK, PhaseName.HANG, PhaseName.DEATH):
        assert failed[phase].checks_failed > 0.4 * failed[phase].checks > 0
    assert failed[PhaseName.HEALTHY].checks_failed == 0
    assert naive.lost_minutes > 10
    assert ledger.lost_minutes == 0


def test_twice_in_a_row_it_gives_the_same_verdict_and_ends_what_a_killed_one_left(
    folder: Path,
) -> None:
    killed = Drill(folder)
    killed.until("its Postgres: ready", "the ledger: ready")
    left = killed.its_processes()
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait(LIMIT_S)
    ended(killed.process.pid)
    assert len(left) > 15, "Postgres, the naive service, Kafka, Redis and all of ours"
    assert any(map(processes.is_alive, left)), "some end by themselves, not all"

    every = list(PhaseName)
    first = Drill(folder)
    outcome = first.finished()
    assert not any(map(processes.is_alive, left))
    assert "an earlier drill left processes behind" in first.text
    if "no small volume" in first.text:
        pytest.skip(f"the disk can't be filled here: {outcome.tier}")
    nothing_is_left(folder)
    second = Drill(folder).finished()
    nothing_is_left(folder)
    for one in (outcome, second):
        verdict_holds(one, every)
        full = {figures.phase: figures for figures in one.side(SideName.NAIVE).phases}
        activations = full[PhaseName.DISK_FULL]
        assert activations.activations_failed > 0.4 * activations.activations > 0
        [planned] = [moment for moment in one.moments if "maintenance plan" in moment.text]
        assert "NO-GO" in planned.text
        assert planned.at_s <= one.phases[1].from_s
        assert any("No space left on device" in moment.text for moment in one.moments)
    assert outcome.verdict == second.verdict


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    drill = Drill(folder)
    drill.until("its Postgres: ready", "the ledger: ready", "healthy")
    left = drill.its_processes()
    os.killpg(drill.process.pid, number)
    assert drill.process.wait(60) == 130, drill.text
    ended(drill.process.pid)
    assert "Traceback" not in drill.text
    assert left
    assert not any(map(processes.is_alive, left))
    nothing_is_left(folder)


def test_where_no_volume_can_be_made_the_full_disk_is_skipped_and_the_rest_is_done(
    folder: Path,
) -> None:
    without = folder / "bin"
    without.mkdir()
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).glob("*"):
            if program.name not in {"unshare", "nsenter"}:
                (without / program.name).unlink(missing_ok=True)
                (without / program.name).symlink_to(program)
    assert shutil.which("unshare", path=str(without)) is None
    outcome = Drill(folder, PATH=str(without)).finished()
    skipped = {PhaseName.DISK_FULL, PhaseName.CLEANUP}
    verdict_holds(outcome, [name for name in PhaseName if name not in skipped])
    [phase] = [phase for phase in outcome.phases if phase.skipped is not None]
    assert phase.name == PhaseName.DISK_FULL
    assert "unshare and nsenter" in (phase.skipped or "")
    nothing_is_left(folder)
