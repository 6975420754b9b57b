"""Keeping the other generation level after a flip, and deleting it once nobody may want it back.

While the window of a rebuild is open the projector folds two generations: what serves, as ever, and
beside it, in the order of the same log, the one that did before or may again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from projector.fold_session import FoldSession, Pick
from projector.logs import say
from projector.read_model.keys import CATALOG
from projector.read_model.port import ReadModel, ReadModelError
from projector.rebuild.exchange import drop
from projector.rebuild.following import Following
from projector.rebuild.intent import KEY, Intent, read_intent
from projector.rebuild.lock import LostLockError, held
from projector.rebuild.site import RebuildRefusedError
from projector.rebuild.store import Store
from projector.release import release
from projector.session import Session

EVERY_S: Final = 0.5
_KEPT: Final = frozenset({"flipping", "undoing", "window"})

_log: Final = logging.getLogger(__name__)


Kept = tuple[str, str, tuple[int, ...]]
"""Two generations, and the places of which the one that doesn't serve is kept."""


class Keeper:
    """Looks twice a second what is to be kept of the places that are assigned now.

    `follow`: makes what folds a picked generation of some places on. `url`: of the replica's Redis.
    """

    def __init__(
        self,
        model: ReadModel,
        url: str,
        sessions: Callable[[], Sequence[Session]],
        follow: Callable[[Pick, Sequence[int]], Following],
    ) -> None:
        self._model = model
        self._url = url
        self._sessions = sessions
        self._follow = follow
        self._kept: Kept | None = None
        self._following: Following | None = None
        self._refused = ""

    async def run(self) -> None:
        """Go on until cancelled, whatever is away."""
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                with suppress(ReadModelError):
                    await self._look()
        finally:
            await self._keep(None)

    async def _look(self) -> None:
        [document] = await self._model.get([KEY])
        intent = None if document is None else read_intent(document)
        folds = [one for one in self._sessions() if isinstance(one, FoldSession)]
        if intent is None or not folds:
            await self._keep(None)
            return
        if await self._is_over(intent):
            await self._keep(None)
            if any(one.place == CATALOG for one in folds):
                await self._collect(intent)
            return
        if intent.phase not in _KEPT:
            await self._keep(None)
            return
        places = tuple(sorted(one.place for one in folds))
        await self._keep((intent.generation, intent.previous, places))

    async def _is_over(self, intent: Intent) -> bool:
        """Whether what doesn't serve is to go, also where somebody was killed who had begun."""
        if intent.phase == "window":
            return await self._model.time_ms() >= intent.until_ms
        return intent.phase == "collecting"

    async def _keep(self, wanted: Kept | None) -> None:
        """Follow what is wanted, and nothing else."""
        if self._following is not None and wanted is not None:
            self._following.check()
        if wanted == self._kept:
            return
        if wanted is not None:
            await self._note_release()
        self._kept = wanted
        if self._following is not None:
            await self._following.stop()
            self._following = None
        if wanted is not None:
            one, other, places = wanted
            say(_log, logging.INFO, "two generations are kept level", generations=[one, other])
            self._following = self._follow(lambda serving: other if serving == one else one, places)
            self._following.start()

    async def _note_release(self) -> None:
        store = Store(self._url)
        try:
            await store.note_release(release())
        finally:
            await store.close()

    async def _collect(self, intent: Intent) -> None:
        """Delete what doesn't serve, unless somebody works on it just now."""
        with suppress(LostLockError):
            async with held(self._model, wait_s=0) as is_alone:
                if is_alone:
                    await self._drop(intent)

    async def _drop(self, intent: Intent) -> None:
        store = Store(self._url)
        try:
            if await store.intent() != intent:
                return
            # All of the replica's partitions, whoever else has some of them.
            places = [CATALOG, *range(len(intent.ends))]
            gone = await drop(store, intent, places)
            say(_log, logging.INFO, "the generation that doesn't serve is gone", keys=gone)
        except RebuildRefusedError as error:
            if str(error) != self._refused:
                say(_log, logging.WARNING, f"a window can't be closed: {error}")
            self._refused = str(error)
        finally:
            await store.close()
