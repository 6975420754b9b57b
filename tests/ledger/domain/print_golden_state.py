"""Prints what the golden logs fold to in this interpreter: of each its verdicts, then the state.

A program of its own, for other interpreters and hash seeds; it needs msgspec and the checkout.
"""

from __future__ import annotations

import asyncio
import sys

from tests.ledger.domain.golden_files import FOLDERS, read_log
from tests.ledger.domain.golden_state import replica_of, state_lines, verdict_lines


def main() -> None:
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a text stream
    for folder in FOLDERS.values():
        log = read_log((folder / "log.jsonl").read_text(encoding="utf-8"))
        sys.stdout.write(verdict_lines(log))
        sys.stdout.write(state_lines(asyncio.run(replica_of(log))))


if __name__ == "__main__":
    main()
