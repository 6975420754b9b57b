"""Where the golden files lie, and how the golden log is read. Needs nothing but the checkout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ledger.event_log.port import Record

GOLDEN = Path(__file__).parents[3] / "docs/format/golden"
CATALOG_GOLDEN = GOLDEN / "catalog"
FOLDERS = {1: GOLDEN, 2: GOLDEN / "rules-2"}
"""Where the golden log of each rules version lies, its verdicts and its state."""
Line = dict[str, int | str | None]


def read_log(lines: str) -> list[Record]:
    """Records of the log's file; a line with `times` stands for as many, `step_ms` apart."""
    return [record for line in lines.splitlines() for record in _records(json.loads(line))]


def _records(line: dict[str, int | str | None]) -> Iterator[Record]:
    offset, timestamp_ms = line["offset"], line["timestamp"]
    times, step_ms = line.get("times", 1), line.get("step_ms", 0)
    assert isinstance(offset, int)
    assert isinstance(timestamp_ms, int)
    assert isinstance(times, int)
    assert isinstance(step_ms, int)
    for at in range(times):
        yield Record(
            partition=0,
            offset=offset + at,
            timestamp_ms=timestamp_ms + at * step_ms,
            key=_bytes(line["key"]),
            value=_bytes(line["value"]),
        )


def _bytes(text: int | str | None) -> bytes | None:
    return text.encode() if isinstance(text, str) else None


class LogView:
    """A record as the client of Kafka names its parts."""

    def __init__(self, record: Record) -> None:
        self.offset = record.offset
        self.timestamp = record.timestamp_ms
        self.key = record.key
        self.value = record.value
