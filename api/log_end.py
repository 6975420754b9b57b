"""Whether the log still reaches as far as what replicas have folded of it.

None is ahead of the log by legal means: a replica folds what is acknowledged, and that stays. So a
log that ends before was truncated, or is an older state of itself: what is appended to it would be
in the place of what was lost, for good. Nothing is written then until a person has seen to it;
checks go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from api.logs import alarm, say
from api.standing import Standing
from ledger.event_log.port import AppendRefused, EventLog, LogError, MissingTopic, Topic
from projector.read_model.keys import CATALOG

LOOK_S: Final = 2.0
BEHIND_S: Final = 2.0
"""How long the log has to be behind before that counts, as for a projector."""
_AGAIN_S: Final = 0.2

_log: Final = logging.getLogger(__name__)


class LogBehindError(AppendRefused):
    """The log ends before what a replica has folded of it, so nothing is appended."""


class Writes(Protocol):
    """What lets appends through, or doesn't."""

    def open(self) -> None:
        """Let them through from now on."""

    def shut(self, why: str) -> None:
        """Let none through from now on."""


def farthest(standings: Sequence[Standing]) -> dict[int, tuple[int, str]]:
    """Of each place, how far the replica that is farthest has folded it, and its name."""
    return {
        place: max((each.position[place], each.name) for each in standings)
        for place in standings[0].places
    }


class LogEnd:
    """Follows where the log ends.

    `folded`: of each place, how far the replica that is farthest has folded it, and who that is.
    """

    def __init__(self, log: EventLog, folded: Callable[[], Mapping[int, tuple[int, str]]]) -> None:
        self._log = log
        self._folded = folded
        self._behind_since: float | None = None
        self._told = False

    async def follow(self, writes: Writes) -> None:
        """Open and shut the writes until cancelled; while the log is away they stay as they are."""
        while True:
            try:
                behind = await self._behind()
            except LogError:
                await asyncio.sleep(_AGAIN_S)
                continue
            except Exception:  # noqa: BLE001 - whatever it is, checks go on
                _log.exception("a look at the log's end failed")
                await asyncio.sleep(LOOK_S)
                continue
            self._judge(behind, writes)
            await asyncio.sleep(LOOK_S if behind is None else _AGAIN_S)

    def _judge(self, behind: str | None, writes: Writes) -> None:
        if behind is None:
            if self._told:
                say(_log, logging.WARNING, "the log is as long as it was: writes are open again")
            self._behind_since, self._told = None, False
            writes.open()
            return
        now = time.monotonic()
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since >= BEHIND_S and not self._told:
            self._told = True
            writes.shut("the log ends before what the replicas have folded of it")
            alarm(_log, "log-behind", f"{behind}: nothing is written, checks go on")

    async def _behind(self) -> str | None:
        """Where the log ends too early; None: nowhere. Raises `LogError`."""
        # First: so they are no more than what the log has by the time it is asked.
        folded = self._folded()
        ends = {
            **await self._ends(Topic.LICENSE_EVENTS),
            CATALOG: (await self._ends(Topic.CATALOG_EVENTS)).get(0, 0),
        }
        for place, (position, name) in folded.items():
            end = ends.get(place, 0)
            if end < position:
                named = "the catalog" if place == CATALOG else f"partition {place}"
                return f"{named} of the log ends at {end}, and replica {name} is at {position}"
        return None

    async def _ends(self, topic: Topic) -> dict[int, int]:
        try:
            return await self._log.ends(topic)
        except MissingTopic:
            return {}
