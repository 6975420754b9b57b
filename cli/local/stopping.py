"""Stops a local ledger in order, in bounded time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from cli.local import processes
from cli.local.folder import DataFolder
from cli.local.orphans import end_orphans
from cli.local.programs import Programs
from cli.local.screen import Screen
from cli.local.supervision import Supervisor, SupervisorUnavailable

STOP_LIMIT_S: Final = {1: 8.5, 3: 13.5}
"""By the number of brokers. What doesn't stop in order within this time is killed: the ledger
survives that by design."""
_KILL_LIMIT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05


async def stop(
    kept: subprocess.Popen[bytes],
    these: Programs,
    hurry: asyncio.Event,
    screen: Screen,
) -> None:
    """Have supervisor (`kept`) stop everything, the API first and the broker last.

    What is left after `STOP_LIMIT_S`, or when `hurry` is set, is killed.
    """
    folder, socket = these.folder, these.socket
    limit_s = STOP_LIMIT_S[len(these.brokers)]
    started = time.monotonic()
    screen.line("Stopping, the broker last (Ctrl-C again: at once) …")
    await _ask(kept, socket)
    while kept.poll() is None and not hurry.is_set():
        if time.monotonic() - started > limit_s:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    killed = await asyncio.to_thread(_kill, folder, kept) if kept.poll() is None else []
    await asyncio.to_thread(end_orphans, folder, screen.line)
    folder.environment.unlink(missing_ok=True)
    socket.unlink(missing_ok=True)
    how = f" (killed: {', '.join(killed)})" if killed else ""
    took_s = time.monotonic() - started
    screen.line(f"Stopped in {took_s:.1f} s{how}. The data stays in {folder.root}")


async def _ask(kept: subprocess.Popen[bytes], socket: Path) -> None:
    try:
        await asyncio.to_thread(Supervisor(socket).shut_down)
    except SupervisorUnavailable:
        if kept.poll() is None:
            kept.terminate()


def _kill(folder: DataFolder, kept: subprocess.Popen[bytes]) -> list[str]:
    """Kill everything that still runs, supervisor first; names of what was killed."""
    last = processes.noted(folder)
    names = {child: name for name, child in last.children.items()} if last is not None else {}
    alive = {*processes.children_of(kept.pid), *filter(processes.is_alive, names)}
    kept.kill()
    kept.wait(_KILL_LIMIT_S)
    for child in alive:
        processes.send(child, signal.SIGKILL)
    processes.wait_ended(alive, _KILL_LIMIT_S)
    return sorted(names.get(child, str(child.id)) for child in alive)
