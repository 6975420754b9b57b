"""Prints what the golden log folds to in this interpreter: its verdicts, then the state.

A program of its own, for other interpreters and hash seeds; it needs msgspec and the checkout.
"""

from __future__ import annotations

import asyncio
import sys

from tests.ledger.domain.golden_files import GOLDEN, read_log
from tests.ledger.domain.golden_state import replica_of, state_lines, verdict_lines


def main() -> None:
    log = read_log((GOLDEN / "log.jsonl").read_text(encoding="utf-8"))
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a text stream
    sys.stdout.write(verdict_lines(log))
    sys.stdout.write(state_lines(asyncio.run(replica_of(log))))


if __name__ == "__main__":
    main()
