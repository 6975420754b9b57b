"""Ports for tests: none is given twice in a run, so nobody sits on the port of a stopped server.

A port that was found free is taken only some time later: by a broker after seconds. So each process
of a run (pytest-xdist's environment tells which it is) has a range of its own, and goes through it.
"""

import os
import random

from cli.local.ports import FIRST_PORT, LAST_PORT, NoFreePortError, is_taken

_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SIZE = (LAST_PORT + 1 - FIRST_PORT) // _PROCESSES
_OWN = range(FIRST_PORT + _PROCESS * _SIZE, FIRST_PORT + (_PROCESS + 1) * _SIZE)


class _Given:
    """How far this process has come in its range. Another run begins elsewhere, most likely."""

    def __init__(self) -> None:
        self._next = random.choice(_OWN)

    def take(self, count: int) -> range:
        for _ in _OWN:
            if self._next + count > _OWN.stop:
                self._next = _OWN.start
            row = range(self._next, self._next + count)
            taken = [port for port in row if is_taken(port)]
            self._next = taken[-1] + 1 if taken else row.stop
            if not taken:
                return row
        raise NoFreePortError(f"no {count} free ports in a row in {_OWN}")


_given = _Given()


def free_ports(count: int) -> range:
    """`count` free ports in a row. Raises NoFreePortError."""
    return _given.take(count)
