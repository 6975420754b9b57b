"""Supervisor's logs on a full disk: /dev/full says of every write that there is no room."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from supervisor import loggers

from cli.local.supervisord import PatientHandler

FULL = Path("/dev/full")


class Record:
    """A line to be logged."""

    def __init__(self, line: str) -> None:
        self.msg = line
        self.kw = None

    def asdict(self) -> dict[str, str]:
        return {"message": self.msg}


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_a_line_that_cannot_be_written_is_let_go_and_later_ones_are_not(
    tmp_path: Path,
) -> None:
    file = tmp_path / "process.log"
    handler = PatientHandler(str(file), maxBytes=1_000, backupCount=1)
    handler.setFormat("%(message)s\n")
    handler.emit(Record("first"))
    kept = handler.stream
    with suppress(OSError), FULL.open("ab") as full:
        handler.stream = full
        for number in range(10):
            handler.emit(Record(f"lost {number}"))
    handler.stream = kept
    handler.emit(Record("later"))
    assert file.read_text() == "first\nlater\n"
    # A rotation that failed half-way leaves it closed.
    handler.stream.close()
    handler.emit(Record("at last"))
    assert file.read_text() == "first\nlater\nat last\n"
    handler.close()


def test_it_is_a_handler_of_supervisor() -> None:
    assert issubclass(PatientHandler, loggers.RotatingFileHandler)
