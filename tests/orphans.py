"""Ends the servers of a test run whose process died without ending them (kill -9 included).

Run as a program by tests/servers.py, which writes "+ID" and "-ID" to its standard input as it
starts and ends servers. The end of that input is the end of the run: whatever is left is killed.
Standard library only, as it is started by path.
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    """Follow the input to its end, then kill what is left, by id."""
    alive: set[int] = set()
    for line in sys.stdin:
        process_id = int(line[1:])
        if line.startswith("+"):
            alive.add(process_id)
        else:
            alive.discard(process_id)
    for process_id in alive:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process_id, signal.SIGKILL)


if __name__ == "__main__":
    main()
