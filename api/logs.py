"""Structured logs of the API: one JSON object a line, without keys, tokens or personal values.

A request is logged under its route's template, never its path: paths may hold keys.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import Final, TextIO

import msgspec
from msgspec import Struct

from ledger.domain.clocks import rfc3339

RUNBOOK: Final = "docs/operations/api.md"
LINES_MAX: Final = 512
FLUSH_S: Final = 0.2
_PLACES_MAX: Final = 12
_TEXT_MAX: Final = 300

_encoder: Final = msgspec.json.Encoder()


def say(logger: logging.Logger, level: int, text: str, **fields: object) -> None:
    """Log a line with fields."""
    logger.log(level, text, extra={"fields": fields})


def alarm(logger: logging.Logger, name: str, text: str, **fields: object) -> None:
    """Log what a person has to look at; `name` is its heading in the runbook."""
    say(logger, logging.ERROR, text, alarm=name, runbook=f"{RUNBOOK}#{name}", **fields)


def set_up() -> None:
    """Log JSON to the standard error; libraries only when they warn."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for library in ("aiokafka", "asyncio", "uvicorn"):
        logging.getLogger(library).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """A record as a JSON object; of an exception its type and places, never its text."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line: dict[str, object] = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": _text(record),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= told(record.exc_info[1])
        return _encoder.encode(line).decode()


def _text(record: logging.LogRecord) -> str:
    """Text of a record; of a library's the first line, since the next ones quote exceptions."""
    text = record.getMessage()
    return text if record.name.startswith("api") else text.partition("\n")[0][:_TEXT_MAX]


def told(error: BaseException) -> dict[str, object]:
    """Say of an exception what may be logged: its text may quote a value, its places don't."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return {"error": type(error).__name__, "trace": places[-_PLACES_MAX:]}


class _Line(Struct, frozen=True, kw_only=True):
    at: str
    route: str
    method: str
    status: int
    ms: float
    request_id: str


class AccessLog:
    """A line a request, on the standard output; written in bundles, at most 0.2 s late."""

    def __init__(self, *, enabled: bool, stream: TextIO | None = None) -> None:
        self._enabled = enabled
        self._stream = stream or sys.stdout
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def line(
        self, *, route: str, method: str, status: int, seconds: float, request_id: str
    ) -> None:
        """Enter a request, which took so many seconds and ends now."""
        if not self._enabled:
            return
        at = rfc3339(int(time.time() * 1000))
        ms = round(seconds * 1000, 2)
        line = _Line(at=at, route=route, method=method, status=status, ms=ms, request_id=request_id)
        self._lines.append(_encoder.encode(line))
        if len(self._lines) >= LINES_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what is gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write(b"\n".join(lines).decode() + "\n")
            self._stream.flush()
