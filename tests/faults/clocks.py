"""A wall clock that a test sets, of one process: a few lines of C, preloaded."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.faults.results import skip

DAY_S: Final = 86_400
_SOURCE: Final = Path(__file__).with_name("wrong_clock.c")


class WrongClock:
    """The clock of a process that runs with `env`; skips the row where it can't be made."""

    def __init__(self, folder: Path, *, row: str) -> None:
        compiler = shutil.which("cc")
        if compiler is None or sys.platform != "linux":
            skip(row, "a clock of a process' own needs Linux and a C compiler")
        library, self._file = folder / "wrong_clock.so", folder / "offset"
        argv = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)]
        subprocess.run(argv, check=True, timeout=60)
        self._file.write_bytes(bytes(8))
        self.env = {"LD_PRELOAD": str(library), "WRONG_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Let the clock be so many seconds off."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
