"""Writes docs/format/golden anew. Only by hand: a released format never changes its goldens.

From the checkout's root: `.venv/bin/python -m tests.ledger.domain.make_goldens`, then look at what
`git diff docs/format/golden` says. What changes there, changes every ledger that exists.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.ledger.domain.catalog.golden_records import golden_records
from tests.ledger.domain.golden_checkpoint import GOLDEN_CHECKPOINT, golden_checkpoint
from tests.ledger.domain.golden_files import CATALOG_GOLDEN, FOLDERS, GOLDEN, Line, read_log
from tests.ledger.domain.golden_log import golden_log
from tests.ledger.domain.golden_log_2 import golden_log_2
from tests.ledger.domain.golden_records import folded, identity, other_records, unfolded
from tests.ledger.domain.golden_state import as_line, replica_of, state_lines, verdict_lines

LOGS = {1: golden_log, 2: golden_log_2}


def log_lines(log: list[Line]) -> str:
    """Give a line a record of the log."""
    return "".join(as_line(line) for line in log)


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
    for old in CATALOG_GOLDEN.glob("*.json"):
        old.unlink()
    for name, value in golden_records().items():
        (CATALOG_GOLDEN / f"{name}.json").write_bytes(value + b"\n")
    keys = {name: record.key.decode() for name, record in other_records().items()}
    _write(GOLDEN / "record-keys.json", json.dumps(keys, indent=2) + "\n")
    _write(GOLDEN / "identity.json", json.dumps(identity(), indent=2) + "\n")
    for rules, made in LOGS.items():
        lines = log_lines(made())
        log = read_log(lines)
        _write(FOLDERS[rules] / "log.jsonl", lines)
        _write(FOLDERS[rules] / "verdicts.jsonl", verdict_lines(log))
        _write(FOLDERS[rules] / "state.jsonl", state_lines(asyncio.run(replica_of(log))))
    GOLDEN_CHECKPOINT.write_bytes(golden_checkpoint())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
