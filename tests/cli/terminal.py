"""A command in a terminal of its own, as its users have it: 80 columns wide, with a Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from subprocess import Popen

LIMIT_S = 120.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """What a process shows in a terminal; letters that are typed go to it."""

    def __init__(self, process: Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._raw = b""

    @property
    def said(self) -> str:
        """All that was shown, without colors and moves of the cursor."""
        return _CODES.sub("", self._raw.decode(errors="replace"))

    @property
    def lines(self) -> list[str]:
        """The same by lines, as far as each was drawn at one go."""
        return [line.rstrip() for line in re.split(r"[\r\n]+", self.said)]

    def until(self, condition: Callable[[str], bool]) -> None:
        """Read until what was shown is so, or the process has ended."""
        deadline = time.monotonic() + LIMIT_S
        while not condition(self.said):
            assert time.monotonic() < deadline, self.said
            if not self._read():
                assert condition(self.said), self.said
                return

    def press(self, letters: bytes) -> None:
        os.write(self._descriptor, letters)

    def ended(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + LIMIT_S
        while self._read():
            assert time.monotonic() < deadline, self.said
        return self.process.wait(LIMIT_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], 0.2)
        if not ready:
            return self.process.poll() is None
        try:
            piece = os.read(self._descriptor, 65_536)
        except OSError:
            return False
        self._raw += piece
        return bool(piece)


@contextmanager
def in_terminal(
    command: Sequence[str], env: Mapping[str, str], *, columns: int = 80
) -> Iterator[Terminal]:
    """Start a command in a terminal; it is killed at the end of the block if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES"}}
    controlled = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = Popen(
        [sys.executable, "-c", controlled, *command],
        env={**kept, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT_S)
        os.close(ours)
