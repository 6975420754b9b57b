"""`ledger rebuild` in a terminal: its bar, what others see of it, and a Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.activity import Activity, append
from tests.cli.terminal import in_terminal
from tests.cli.test_rebuild import rebuild, told
from tests.servers import ROOT
from tests.system import System, running


@pytest.fixture
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("interrupted"), workers=0) as system:
        activity = Activity(3, partitions=system.settings.partitions, licenses=200)
        events = list(activity.appendables(3_000))
        asyncio.run(append(system.kafka.bootstrap, "license-events", events))
        system.wait_level()
        yield system


SLOW = """
import time
from projector.rebuild import bulk

fold = bulk.fold

def slowly(*arguments):
    time.sleep(0.004)
    return fold(*arguments)

bulk.fold = slowly
"""


def command(ledger: System, *words: str, plants: Path) -> tuple[list[str], dict[str, str]]:
    """`ledger …` and the environment of a release with what is planted."""
    path = os.pathsep.join([str(plants), str(ROOT)])
    program = [sys.executable, "-c", "from cli.main import main; main()"]
    return [*program, *words], {**os.environ, **ledger.env, "PYTHONPATH": path}


@pytest.mark.slow
def test_ctrl_c_ends_all_of_it_without_a_trace_and_it_goes_on_afterwards(
    ledger: System, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    words, env = command(
        ledger, "rebuild", "start", "--replica", "B", "--builders", "2", plants=tmp_path
    )
    with in_terminal(words, env) as terminal:
        terminal.until(lambda said: "building" in said and "events/s" in said)
        [drawn, *_] = [line for line in terminal.lines if line.startswith("building")]
        assert "━━━━" in drawn
        assert "%" in drawn
        status = told(ledger, "status", "--replica", "B")
        assert status["works"].startswith(f"{terminal.process.pid} on ")
        assert status["progress_age_ms"] < 5_000
        asked = rebuild(ledger, "status", "--replica", "B").stdout
        assert f"{terminal.process.pid} on " in asked
        assert "░" in asked
        begun = rebuild(ledger, "plan", "--replica", "B", code=1)
        assert "a rebuild is under way, of generation" in begun.stderr
        terminal.press(b"\x03")
        assert terminal.ended() == 130
    assert "Traceback" not in terminal.said
    assert "KeyboardInterrupt" not in terminal.said
    nobody = rebuild(ledger, "status", "--replica", "B").stdout
    assert "nobody works on it" in nobody
    assert told(ledger, "start", "--replica", "B")["proof"]["compared"] == 17
    assert told(ledger, "cancel", "--replica", "B")["deleted_keys"] >= 17
