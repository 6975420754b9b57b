"""Ctrl-C: it ends what runs, says nothing and tells it by the exit code, at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from cli.running import run
from tests.cli.listening import Listening
from tests.local import LEDGER

LIMIT_S = 60


async def _answer() -> int:
    return 42


async def _interrupted(deaf: int) -> None:
    """Be interrupted, and not hear it `deaf` times."""
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(deaf):
        try:
            await asyncio.sleep(LIMIT_S)
        except asyncio.CancelledError:
            continue
    await asyncio.sleep(LIMIT_S)


def test_it_returns_what_the_work_makes() -> None:
    assert run(_answer()) == 42
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("deaf", [0, 1, 3])
def test_an_interruption_that_gets_lost_is_repeated(
    deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.running.AGAIN_S", 0.01)
    with pytest.raises(KeyboardInterrupt):
        run(_interrupted(deaf))


def test_work_that_cancels_itself_is_no_interruption() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(cancelled())


def test_a_command_that_waits_for_an_answer_ends_quietly_with_130(server: Listening) -> None:
    server.answers = threading.Event()
    process = subprocess.Popen(
        [LEDGER, "license", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.was_asked.wait(LIMIT_S)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LIMIT_S) == ("", "")
    finally:
        server.answers.set()
        process.kill()
    assert process.returncode == 130


def test_what_is_still_loading_ends_quietly() -> None:
    """A module that is loaded early interrupts, as a person may at that moment."""
    program = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from cli.start import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
