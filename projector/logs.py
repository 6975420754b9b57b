"""Structured logs: one JSON object a line on the standard error, without any personal value.

What is logged of a record is where it stands and whose it is (license id), never what it says.
"""

from __future__ import annotations

import logging
import time
from typing import Final

import msgspec

from ledger.domain.clocks import rfc3339

RUNBOOK: Final = "docs/operations/projector.md"
FILLING_RUNBOOK: Final = "docs/operations/capacity.md"
_REPEAT_S: Final = 10.0
_KNOWN_MAX: Final = 200

_encoder: Final = msgspec.json.Encoder()


def say(logger: logging.Logger, level: int, text: str, **fields: object) -> None:
    """Log a line with fields."""
    logger.log(level, text, extra={"fields": fields})


def alarm(logger: logging.Logger, name: str, text: str, **fields: object) -> None:
    """Log what a person has to look at; `name` is its heading in the runbook."""
    runbook = FILLING_RUNBOOK if name.endswith("-filling") else RUNBOOK
    say(logger, logging.ERROR, text, alarm=name, runbook=f"{runbook}#{name}", **fields)


def set_up() -> None:
    """Log JSON to the standard error; libraries only when they warn, and not the same all day."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter())
    handler.addFilter(_Quieter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # Where it went wrong, not what it said: an exception's text may quote a value.
            line["error"] = record.exc_info[0].__name__
            line["trace"] = _places(record)
        return _encoder.encode(line).decode()


class _Quieter(logging.Filter):
    """Lets the same line of a library through once in 10 s: clients repeat what they miss."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("projector"):
            return True
        now = time.monotonic()
        line = (record.name, str(record.msg))
        if now - self._last.get(line, -_REPEAT_S) < _REPEAT_S:
            return False
        if len(self._last) > _KNOWN_MAX:
            self._last.clear()
        self._last[line] = now
        return True


def _places(record: logging.LogRecord) -> list[str]:
    trace = record.exc_info[2] if record.exc_info else None
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-12:]
