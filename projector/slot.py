"""The lock on a projector's slot, kept in the replica it writes to.

Two live holders of one static member id swing its partitions once a second for ever, and the
client of Kafka fences neither. The lock keeps them apart; it doesn't keep the state right, the
script's compare of positions does. So it may be lost with the Redis that holds it: where it is
simply gone, its holder takes it again, and of two that want it the first one gets it.

With the lock goes an announcement, the latest rules version that its holder knows: it is held and
expires like the lock, so a version is activated only once every running projector knows it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Final

from ledger.domain.events import RULES_VERSION
from projector.logs import say
from projector.read_model.port import ReadModel, ReadModelUnavailableError

HELD_MS: Final = 2_000
RENEW_S: Final = 0.4
TAKE_LIMIT_S: Final = 4.0
_TRY_S: Final = 0.2
_RULES: Final = str(RULES_VERSION)

_log: Final = logging.getLogger(__name__)


class SlotTakenError(Exception):
    """Another running process holds the slot."""


class SlotLock:
    """The lock on slot `name`; raises `SlotTakenError` where another process has it."""

    def __init__(self, model: ReadModel, name: str) -> None:
        self._model = model
        self._name = name
        self._key = holder_key(name)
        self._owner = secrets.token_hex(16)

    async def take(self) -> None:
        """Take the lock; one that a killed process left behind expires within 2 s."""
        deadline = time.monotonic() + TAKE_LIMIT_S
        waiting = False
        while not await self._model.hold(self._key, self._owner, HELD_MS):
            if time.monotonic() > deadline:
                raise SlotTakenError(f"slot {self._name} is held by another running projector")
            if not waiting:
                say(_log, logging.INFO, "waiting for the slot's last holder to expire")
            waiting = True
            await asyncio.sleep(_TRY_S)
        await self._announce()

    async def keep(self) -> None:
        """Renew the lock until cancelled; while Redis is away nobody can take it either."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                held = await self._model.hold(self._key, self._owner, HELD_MS)
                if held:
                    await self._announce()
            except ReadModelUnavailableError:
                continue
            if not held:
                raise SlotTakenError(
                    f"another projector took slot {self._name} while this one stood still or its "
                    "Redis was away; two on one slot would swing its partitions for ever"
                )

    async def give_back(self) -> None:
        """Let a successor have it at once."""
        try:
            await self._model.release(rules_key(self._name), _RULES)
            await self._model.release(self._key, self._owner)
        except ReadModelUnavailableError:
            say(_log, logging.INFO, "the slot's lock was not given back, it expires by itself")

    async def _announce(self) -> None:
        """Say which rules are known here; what the slot's last holder said expires first."""
        await self._model.hold(rules_key(self._name), _RULES, HELD_MS)


def holder_key(slot: str) -> str:
    """Key of a slot's lock; it is there while a projector runs."""
    return f"{slot}:holder"


def rules_key(slot: str) -> str:
    """Key of what a slot's projector announces: the latest rules version that it knows."""
    return f"{slot}:rules"


async def announced_rules(model: ReadModel, slots: Sequence[str]) -> dict[str, int | None]:
    """Latest rules version that the projector of each slot that one runs on has announced.

    None: it runs and has announced none. `slots`: names of slots of the replica behind `model`
    (`ProjectorSettings.member`). Raises `ReadModelError`.
    """
    running: dict[str, int | None] = {}
    for slot in slots:
        [holder] = await model.get([holder_key(slot)])
        if holder is not None:
            [rules] = await model.get([rules_key(slot)])
            running[slot] = None if rules is None else int(rules)
    return running
