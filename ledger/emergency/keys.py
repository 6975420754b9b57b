"""The keys that emergency orders are signed with, as a worker is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.named_keys import read_named

_VARIABLE: Final = "LEDGER_EMERGENCY_KEYS"


def read_keys(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and public keys that a worker obeys; none: it takes no orders.

    Raises `SettingsError`.
    """
    return read_named(environment, _VARIABLE, "ledger neutralize keygen")
