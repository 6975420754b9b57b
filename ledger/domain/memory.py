"""The memory of commands: how long each is known again (docs/format.md, "Laws of the fold")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger.domain.verdicts import Remembered

MEMORY_MS: Final = 24 * 3600 * 1000
MEMORY_COMMANDS: Final = 64
"""A command is remembered for 24 h elapsed or as one of the last 64, whichever is longer."""
FORGOTTEN_MAX: Final = 8


def forgettable(
    commands: int, elapsed_ms: int, oldest: Sequence[Remembered]
) -> tuple[Remembered, ...]:
    """Return the commands to forget, oldest first: beyond the last 64 and older than 24 h.

    `commands`: how many are remembered, the present one included; `oldest`: the first of them.
    """
    spare = min(commands - MEMORY_COMMANDS, FORGOTTEN_MAX)
    if spare <= 0:
        return ()
    due = (old for old in oldest[:spare] if elapsed_ms - old.elapsed_ms > MEMORY_MS)
    return tuple(due)
