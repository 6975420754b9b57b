"""Looking for what concerns records set aside: new discards, and orders of people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from ledger.event_log.port import LogError
from projector.discards import Discards
from projector.projection import Projection
from projector.read_model.keys import retry_order
from projector.read_model.port import ReadModel, ReadModelError
from projector.retry_orders import read_order
from projector.session import Session

EVERY_S: Final = 1.0


class QuarantineWatch:
    """Looks once a second. `sessions`: those of the partitions assigned now."""

    def __init__(
        self, model: ReadModel, discards: Discards, sessions: Callable[[], Sequence[Session]]
    ) -> None:
        self._model = model
        self._discards = discards
        self._sessions = sessions

    async def run(self) -> None:
        """Go on until cancelled, whatever is away: others tell of that."""
        while True:
            await asyncio.sleep(EVERY_S)
            with suppress(LogError, ReadModelError):
                await self.look()

    async def look(self) -> None:
        """Look once. Raises `LogError`, `ReadModelError`."""
        sessions = [one for one in self._sessions() if isinstance(one, Projection)]
        if not sessions:
            return
        await self._discards.refresh()
        for session in sessions:
            order = None
            if session.has_frozen:
                # Mostly nothing is, and nobody is asked.
                [document] = await self._model.get([retry_order(session.partition)])
                order = read_order(document)
            session.look_up(order)
