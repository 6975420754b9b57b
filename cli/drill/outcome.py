"""What a drill saw, as it is kept: the JSON report is this, and the others are made of it.

Seconds are of the drill's own clock: 0 is the first moment of the first phase.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

FORMAT: Final = 1


class SideName(StrEnum):
    """Who is asked: the vendor's service as it was, or the ledger."""

    NAIVE = "naive"
    LEDGER = "ledger"


class PhaseName(StrEnum):
    """The phases, in their order."""

    HEALTHY = "healthy"
    REINDEX = "reindex"
    DISK_FULL = "disk-full"
    CLEANUP = "cleanup"
    LOCK = "lock"
    HANG = "hang"
    DEATH = "death"
    RETURN = "return"
    AFTERWARDS = "afterwards"


class Phase(Struct, frozen=True, kw_only=True):
    """One phase. `about` is a sentence on what is broken in it, for people.

    `skipped`: why it couldn't be made here; such a phase has no length.
    """

    name: PhaseName
    title: str
    about: str
    from_s: float
    to_s: float
    skipped: str | None = None


class Moment(Struct, frozen=True, kw_only=True):
    """Something that happened at one moment: an error of Postgres, an order by hand."""

    at_s: float
    text: str


class Second(Struct, frozen=True, kw_only=True):
    """What was sent to a side in one second, and what became of it, whenever that was known.

    `started`: launches that started, those without a valid check included (neutralized).
    `free`, `free_started`: those of them by free products, which nobody neutralizes.
    """

    at_s: int
    launches: int = 0
    started: int = 0
    free: int = 0
    free_started: int = 0
    checks_failed: int = 0
    activations: int = 0
    activated: int = 0


class Figures(Struct, frozen=True, kw_only=True):
    """What was sent to a side in one phase, and what became of it.

    Latencies are in ms, of all that were sent: one without an answer took as long as its client
    waited. None where nothing was sent.
    """

    phase: PhaseName
    checks: int
    checks_failed: int
    activations: int
    activations_failed: int
    launches: int
    started: int
    check_p50_ms: float | None
    check_p99_ms: float | None
    activation_p50_ms: float | None
    activation_p99_ms: float | None
    answers: dict[str, int]
    """How many requests had which answer: `200 VALID`, `201`, `500`, `timeout`, `no connection`."""


class Side(Struct, frozen=True, kw_only=True):
    """A side of the drill. `lost_minutes`: launch-minutes lost, see `losses.py`."""

    name: SideName
    title: str
    about: str
    seconds: list[Second]
    phases: list[Figures]
    lost_minutes: float


class Verdict(Struct, frozen=True, kw_only=True):
    """What the drill says.

    `proves`: the naive service failed as the vendor's did; else the drill proves nothing.
    `held`: the ledger failed no check and refused no activation.
    `reasons`: what of that is missing, each with its numbers.
    """

    proves: bool
    held: bool
    reasons: list[str]

    @property
    def passed(self) -> bool:
        """Whether it proves something, and the ledger held."""
        return self.proves and self.held


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran: what the report tells of the machine, and nothing that names it."""

    system: str
    cores: int
    memory_gb: float
    separated: str
    """How the naive side was kept from the ledger's processors, in words."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One drill. `began` is UTC, ISO 8601; `versions` by the name of a part."""

    format: int
    began: str
    took_s: float
    tier: str
    """How the small volume was made, or why not, in words."""
    machine: Machine
    versions: dict[str, str]
    launches_per_s: float
    activations_per_s: float
    client_timeout_s: float
    neutralized: tuple[float, float] | None
    """From when to when paid launches of the naive side started without a check, by hand."""
    phases: list[Phase]
    moments: list[Moment]
    sides: list[Side]
    verdict: Verdict
    not_reproduced: list[str]

    def side(self, name: SideName) -> Side:
        """The side of a name."""
        return next(side for side in self.sides if side.name == name)
