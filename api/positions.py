"""Positions as answers name them and requests ask for them: ledger, partition, offset. Pure."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from api.problems import malformed

AT_LEAST: Final = "Ledger-At-Least"
POSITION: Final = r"^([0-9a-f-]{36}):(-?[0-9]{1,4})\.([0-9]{1,18})$"
"""Form of a position."""


class Place(Struct, frozen=True, kw_only=True):
    """An offset of a partition."""

    partition: int
    offset: int


def position_of(ledger: str, partition: int, offset: int) -> str:
    """Position as answers name it."""
    return f"{ledger}:{partition}.{offset}"


def read_at_least(text: str, ledger: str) -> Place:
    """Position that a request asks for; raises a 400 `Problem` that names the header."""
    return _read(text, ledger, AT_LEAST, {"header": AT_LEAST}, "leave it out")


def read_position(text: str, ledger: str) -> Place:
    """Position in a command's URL; raises a 400 `Problem` that names the parameter."""
    name = "position"
    return _read(text, ledger, name, {"parameter": name}, "send the URL as the answer named it")


def _read(text: str, ledger: str, name: str, source: dict[str, str], way_out: str) -> Place:
    found = re.match(POSITION, text.strip().lower())
    if found is None:
        raise malformed(
            "POSITION_INVALID",
            f"{name} is a position as an answer named it, <ledger>:<partition>.<offset>: "
            f"send one of those, or {way_out}.",
            source,
        )
    if found[1] != ledger:
        raise malformed(
            "POSITION_OF_ANOTHER_LEDGER",
            f"{name} is a position of another ledger than this one, {ledger}: {way_out}, "
            "and see that the address that you ask is right.",
            source,
        )
    return Place(partition=int(found[2]), offset=int(found[3]))
