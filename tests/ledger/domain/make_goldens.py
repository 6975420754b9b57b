"""Writes docs/format/golden anew. Only by hand: a released format never changes its goldens.

From the checkout's root: `.venv/bin/python -m tests.ledger.domain.make_goldens`, then look at what
`git diff docs/format/golden` says. What changes there, changes every ledger that exists.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from ledger.domain.verdicts import Verdict
from ledger.event_log.codec import UndecodableError, decode
from ledger.event_log.port import Record
from projector.read_model.memory import MemoryReadModel
from projector.views.documents import verdict_document
from tests.ledger.domain.golden_log import GOLDEN, Line, golden_log, read_log
from tests.ledger.domain.golden_records import folded, identity, other_records, unfolded
from tests.ledger.domain.replica import Replica
from tests.projector.in_memory import project


def verdicts_of(log: list[Record]) -> list[tuple[int, Verdict]]:
    """Offset and verdict of each event of a log, by the fold alone; poison is passed over."""
    replica, found = Replica(), []
    for record in log:
        replica.tick(record.timestamp_ms)
        try:
            event = decode(record.key, record.value)
        except UndecodableError:
            replica.offset += 1
        else:
            found.append((record.offset, replica.take(event)))
    return found


def verdict_lines(log: list[Record]) -> str:
    """Give a line an event: its offset, a space, its verdict's stored form."""
    return "".join(
        f"{offset} {verdict_document(verdict).decode()}\n" for offset, verdict in verdicts_of(log)
    )


def log_lines(log: list[Line]) -> str:
    """Give a line a record of the log."""
    return "".join(_line(line) for line in log)


def state_lines(model: MemoryReadModel) -> str:
    """Give a line a stored key, in the order of their names."""
    lines: dict[str, dict[str, object]] = {
        key: {"key": key, "value": value.decode()} for key, value in model.strings.items()
    }
    for key, members in model.sorted_sets.items():
        scored = [[member.decode(), score] for member, score in members.items()]
        lines[key] = {
            "key": key,
            "members": sorted(scored, key=lambda entry: (entry[1], entry[0])),
        }
    return "".join(_line(lines[key]) for key in sorted(lines))


async def replica_of(log: list[Record]) -> MemoryReadModel:
    """Fold a log into an empty replica as the projector does."""
    model = MemoryReadModel()
    await project(model, [LogView(record) for record in log])
    return model


class LogView:
    """A record as the client of Kafka names its parts."""

    def __init__(self, record: Record) -> None:
        self.offset = record.offset
        self.timestamp = record.timestamp_ms
        self.key = record.key
        self.value = record.value


def _line(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def main() -> None:
    """Write all golden files."""
    records = GOLDEN / "records"
    records.mkdir(parents=True, exist_ok=True)
    for old in records.glob("*.json"):
        old.unlink()
    for name, value in (folded() | unfolded()).items():
        (records / f"{name}.json").write_bytes(value + b"\n")
    for name, record in other_records().items():
        (records / f"{name}.json").write_bytes(record.value + b"\n")
    keys = {name: record.key.decode() for name, record in other_records().items()}
    _write(GOLDEN / "record-keys.json", json.dumps(keys, indent=2) + "\n")
    _write(GOLDEN / "identity.json", json.dumps(identity(), indent=2) + "\n")
    lines = log_lines(golden_log())
    log = read_log(lines)
    _write(GOLDEN / "log.jsonl", lines)
    _write(GOLDEN / "verdicts.jsonl", verdict_lines(log))
    _write(GOLDEN / "state.jsonl", state_lines(asyncio.run(replica_of(log))))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
