"""The keys whose checkpoints are believed, as settings name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.named_keys import read_named

VARIABLE: Final = "LEDGER_CHECKPOINT_KEYS"


def read_keys(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and public keys whose checkpoints are believed. Raises `SettingsError`."""
    return read_named(environment, VARIABLE, "ledger checkpoint keygen")
