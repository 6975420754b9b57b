"""Supervisor, as a local run starts it: on a full disk its logs lack lines, and all goes on.

By itself it ends where neither a log nor its standard error can be written, and everything that it
keeps is orphaned.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor import loggers, supervisord


class PatientHandler(loggers.RotatingFileHandler):  # type: ignore[misc] # it comes without types
    """Lets go what can't be written."""

    stream: Any

    def emit(self, record: Any) -> None:  # noqa: ANN401 - it comes without types
        """Write a line, or let it go."""
        with suppress(OSError, ValueError):
            if self.stream.closed:
                # A rotation could not open the next file.
                self.stream = Path(self.baseFilename).open("ab")  # noqa: SIM115 - for long
            super().emit(record)

    def handleError(self) -> None:  # noqa: N802 - its name there
        """Say nothing: standard error is a file on the same disk."""


if __name__ == "__main__":
    loggers.RotatingFileHandler = PatientHandler
    supervisord.main()
