"""Findings: what was looked at, how it is, and what to do next."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

HANGS: Final = "it hangs, or its host or the network does"
HANGS_STEP: Final = (
    "look at its host; where `ledger status` has it running, end its process: it is started anew"
)


class Level(StrEnum):
    """How a thing is: good, soon not good, not good."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `step`: what to do next, empty where nothing is to be done."""

    name: str
    level: Level
    said: str
    step: str = ""


def ok(name: str, said: str) -> Finding:
    """All is as it should be."""
    return Finding(name=name, level=Level.OK, said=said)


def warn(name: str, said: str, step: str) -> Finding:
    """It works, but a person should see to it."""
    return Finding(name=name, level=Level.WARN, said=said, step=step)


def fail(name: str, said: str, step: str) -> Finding:
    """It doesn't work, or won't with what runs now."""
    return Finding(name=name, level=Level.FAIL, said=said, step=step)
