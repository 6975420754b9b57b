"""All licenses ever issued in one ledger, what is known of each, and the drawing of checks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger.domain import identifiers
from ledger.domain.events import Event, Issued
from ledger.domain.terms import OwnTerms, Terms
from tests.faults.driver import Question
from tests.faults.truth import Acknowledged, Change, State, Story
from tests.filling import SEALED, fill
from tests.system import System

FILLED: Final = 1_500
"""Issued straight into the log; nothing is written about them but that checks were noticed."""
SOON_S: Final = 900
"""A part of them expires by then, one after the other."""
DAY_MS: Final = 86_400_000
_STRANGERS: Final = 0.01
"""Part of the checks that is for keys nobody ever issued."""
_UNSCOPED: Final = 0.3
_ANOTHER: Final = 0.05
"""Part of the checks that names a machine that the license never had."""


@dataclass(slots=True, kw_only=True)
class Known:
    """A license. `machines`: id by fingerprint, of all that it ever had."""

    id: str
    key: str
    story: Story
    machines: dict[str, str] = field(default_factory=dict)


class World:
    """The licenses of a system. `written`: those that the vendor works with.

    `began`: a moment before anything of the system was level.
    """

    def __init__(self, system: System, *, seed: int, began: float) -> None:
        self.began = began
        self._pepper = system.settings.pepper
        self._account = system.account
        self._product = system.product
        self._partitions = system.settings.partitions
        self.policy = identifiers.slug_id(system.ledger, "policy", "standard")
        self.all: list[Known] = []
        self.written: list[Known] = []
        self._random = random.Random(seed)
        self._seed = seed

    async def fill(self, system: System, count: int = FILLED) -> None:
        """Issue many licenses, and return once all replicas have them."""
        issued = [self.unissued(f"filled-{self._seed}-{number}") for number in range(count)]
        expiries = [self._expiry_ms(number) for number in range(count)]
        await fill(system, self._events(issued, expiries))
        await asyncio.to_thread(system.wait_level)
        at = time.monotonic()
        for known, expiry_ms in zip(issued, expiries, strict=True):
            # Wherever it is: every state that is ever told of has it.
            known.story.note(Change(offset=0, state=State(expiry_ms=expiry_ms), at=at))
        self.all += issued

    def unissued(self, key: str) -> Known:
        """What is known of a license that was never issued."""
        id_ = identifiers.license_id(self._pepper, self._account, key)
        story = Story(partition=identifiers.partition_of(id_, self._partitions))
        return Known(id=id_, key=key, story=story)

    def add(self, known: Known) -> None:
        """Take a license in that the vendor has issued."""
        self.all.append(known)
        self.written.append(known)

    def alive(self) -> list[Known]:
        """All licenses that aren't revoked: of them a "no" is never an answer by absence."""
        return [known for known in self.all if known.story.last.live]

    def draw(self) -> Question:
        """Draw a check: of any license that was ever issued, for a machine of it, or another."""
        pick = self._random
        if pick.random() < _STRANGERS:
            stranger = self.unissued(f"stranger-{pick.randrange(1_000)}")
            return Question(stranger.story, stranger.key, None)
        known = pick.choice(self.all)
        return Question(known.story, known.key, self._fingerprint(known))

    def _fingerprint(self, known: Known) -> str | None:
        """None, or a machine that it has, had, or never had."""
        chance = self._random.random()
        if chance < _UNSCOPED:
            return None
        if chance < _UNSCOPED + _ANOTHER:
            return "another"
        return self._random.choice(list(known.machines)) if known.machines else None

    def acknowledged(self) -> Acknowledged:
        """When all that was ever acknowledged was so."""
        return Acknowledged(
            (known.story.partition, change)
            for known in self.written
            for change in known.story.changes
        )

    def _expiry_ms(self, number: int) -> int | None:
        """Of ten licenses six never expire, two in a year, one did long ago, and one soon will."""
        now_ms = int(time.time() * 1000)
        kind = number % 10
        if kind < 6:
            return None
        if kind < 8:
            return now_ms + 365 * DAY_MS
        if kind == 8:
            return now_ms - 30 * DAY_MS
        return now_ms + self._random.randrange(SOON_S * 1000)

    def _events(self, issued: list[Known], expiries: list[int | None]) -> Iterator[Event]:
        now_ms = time.time_ns() // 1_000_000
        for number, (known, expiry_ms) in enumerate(zip(issued, expiries, strict=True)):
            yield Event(
                id=identifiers.random_id(),
                source="filling",
                license=known.id,
                time_ms=now_ms - number,
                actor="filling",
                content_digest=identifiers.content_digest(self._pepper, known.key.encode()),
                data=Issued(
                    account=self._account,
                    product=self._product,
                    policy=self.policy,
                    key=SEALED,
                    terms=Terms(max_machines=None),
                    own=OwnTerms(expiry_ms=expiry_ms),
                ),
                rules=2,
                policy_version=0,
            )
