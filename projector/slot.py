"""The lock on a projector's slot, kept in the replica it writes to.

Two live holders of one static member id swing its partitions once a second for ever, and the
client of Kafka fences neither. The lock keeps them apart; it doesn't keep the state right, the
script's compare of positions does. So it may be lost with the Redis that holds it: where it is
simply gone, its holder takes it again, and of two that want it the first one gets it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import Final

from projector.logs import say
from projector.read_model.port import ReadModel, ReadModelUnavailableError

HELD_MS: Final = 2_000
RENEW_S: Final = 0.4
TAKE_LIMIT_S: Final = 4.0
_TRY_S: Final = 0.2

_log: Final = logging.getLogger(__name__)


class SlotTakenError(Exception):
    """Another running process holds the slot."""


class SlotLock:
    """The lock on slot `name`; raises `SlotTakenError` where another process has it."""

    def __init__(self, model: ReadModel, name: str) -> None:
        self._model = model
        self._name = name
        self._key = f"{name}:holder"
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

    async def keep(self) -> None:
        """Renew the lock until cancelled; while Redis is away nobody can take it either."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                held = await self._model.hold(self._key, self._owner, HELD_MS)
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
            await self._model.release(self._key, self._owner)
        except ReadModelUnavailableError:
            say(_log, logging.INFO, "the slot's lock was not given back, it expires by itself")
