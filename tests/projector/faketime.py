"""A server's clock that a test sets: libfaketime, preloaded.

A Redis with jemalloc doesn't start with it: that allocator asks for the time before it is there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_LIBRARIES = sorted(
    library
    for folder in ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
    for library in Path(folder).glob("**/faketime/libfaketimeMT.so.1")
)


class FakeClock:
    """The clock of a server that runs with `env`; skips the test where libfaketime isn't there."""

    def __init__(self, folder: Path) -> None:
        if not _LIBRARIES:
            pytest.skip("no libfaketime here: apt-get install faketime")
        self._file = folder / "clock"
        self.set_days(0)
        self.env = {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Java waits by the monotonic clock already; "fixed" once more it would hardly start.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def set_days(self, days: int) -> None:
        """Let the server's clock be so many days off."""
        self._file.write_text(f"{days:+d}d")
