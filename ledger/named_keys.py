"""Public keys that settings name: whose signatures a process goes by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ledger.environment import SettingsError, given

KEYS_MAX: Final = 16
NAME: Final = re.compile(r"[0-9A-Za-z._-]{1,64}")
PUBLIC: Final = re.compile(r"[0-9a-f]{64}")


def read_named(
    environment: Mapping[str, str], variable: str, made_by: str
) -> tuple[tuple[str, str], ...]:
    """Names and public keys of a variable; none where it isn't set.

    `made_by`: the command that makes such a key. Raises `SettingsError`.
    """
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in given(environment, variable).split(","))):
        name, _, digits = entry.partition("=")
        if name in found or not NAME.fullmatch(name) or not PUBLIC.fullmatch(digits):
            raise SettingsError(
                f"{variable} is a list of name=64 hex digits, the public half of a key "
                f"(`{made_by}` prints it), commas between, each name once"
            )
        found[name] = digits
    if len(set(found.values())) != len(found) or len(found) > KEYS_MAX:
        raise SettingsError(f"{variable} has each key once, and at most {KEYS_MAX}")
    return tuple(found.items())
