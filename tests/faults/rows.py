"""The rows of docs/faults.md: each fault that is made, and each that can't be made yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fault. `how`: what is really done."""

    id: str
    fault: str
    how: str


ROWS: Final = (
    Row(id="none", fault="nothing", how="the same load with no fault"),
    Row(id="worker-killed", fault="an API worker dies", how="kill -9, started again, five times"),
    Row(
        id="projector-killed",
        fault="a projector dies",
        how="kill -9 of A's, away for half of the time",
    ),
)
NOT_YET: Final = (("1 of 3 brokers down", "the ledger runs on one broker so far"),)
