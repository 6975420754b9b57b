"""Ends what an earlier run left behind, by id and start time, whatever had killed that run."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from cli.local import processes
from cli.local.folder import DataFolder
from cli.local.processes import Noted, Process
from cli.local.supervision import Supervisor, SupervisorUnavailable

ORDERLY_S: Final = 15.0
"""What supervisor may take to stop everything in order before it is ended itself."""
_TERMINATE_S: Final = 5.0
_KILL_S: Final = 5.0
_STOP_ORDER: Final = ("worker", "projector", "redis", "kafka")


class OrphansLeft(Exception):
    """Processes of an earlier run could not be ended."""


def end_orphans(folder: DataFolder, say: Callable[[str], None]) -> None:
    """End the processes that the last run noted and that still run. Raises `OrphansLeft`.

    Call it only with the folder's lock held: the last run is certainly over then.
    """
    last = processes.noted(folder)
    if last is None:
        return
    left = _alive(last)
    if left:
        names = ", ".join(f"{name} ({process.id})" for name, process in left.items())
        say(f"an earlier run left processes behind; ending {names}")
        _end(last, left)
    processes.forget(folder)


def _alive(last: Noted) -> dict[str, Process]:
    """Everything of the last run that lives, in the order in which it is to be stopped."""
    found = {name: child for name, child in last.children.items() if processes.is_alive(child)}
    if processes.is_alive(last.supervisor):
        # It may have started some of them again since anybody noted it.
        known = {child.id for child in found.values()}
        for child in processes.children_of(last.supervisor.id):
            if child.id not in known:
                found[f"process {child.id}"] = child
        found["supervisor"] = last.supervisor
    return dict(sorted(found.items(), key=lambda item: _rank(item[0])))


def _rank(name: str) -> int:
    kind = name.partition("-")[0]
    return _STOP_ORDER.index(kind) if kind in _STOP_ORDER else -1


def _end(last: Noted, left: dict[str, Process]) -> None:
    if last.supervisor in left.values():
        with suppress(SupervisorUnavailable):
            Supervisor(Path(last.socket)).shut_down()
            processes.wait_ended([last.supervisor], ORDERLY_S)
        # Ended first, it starts none of the others again.
        _end_all([last.supervisor])
    for kind in sorted({_rank(name) for name in left}):
        _end_all(process for name, process in left.items() if _rank(name) == kind)


def _end_all(these: Iterable[Process]) -> None:
    left = processes.wait_ended(these, 0)
    for number, patience_s in ((signal.SIGTERM, _TERMINATE_S), (signal.SIGKILL, _KILL_S)):
        for process in left:
            processes.send(process, number)
        left = processes.wait_ended(left, patience_s)
        if not left:
            return
    ids = ", ".join(str(process.id) for process in left)
    raise OrphansLeft(f"processes of an earlier run don't end: {ids}; end them by hand (kill -9)")
