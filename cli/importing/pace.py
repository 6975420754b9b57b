"""How fast an import may go: never so fast that live traffic's verdicts wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from cli.patience import patiently
from cli.replica import Replicas, ReplicasAwayError
from ledger.event_log.port import EventLog, Topic

LAG_MAX: Final = 2_000
"""Events that a replica may be behind before the import pauses: live verdicts wait for them too."""
STALLED_S: Final = 5.0
"""A replica that gains nothing for so long is out of service: nobody's verdict waits for it."""
AWAY_S: Final = 60.0
FOLDED_S: Final = 60.0
_MEASURE_EVERY_S: Final = 0.05


class NotFoldedError(Exception):
    """Everything is in the log, and no replica folds it; a new run goes on when one does."""


class Pace:
    """Watches how far the replicas are behind the log."""

    def __init__(self, log: EventLog, replicas: Replicas) -> None:
        self._log = log
        self._replicas = replicas
        self._measuring = asyncio.Lock()
        self._measured_at = 0.0
        self._comfortable = False
        self._lags: list[int] = []
        self._gained_at: list[float] = []
        self._seen_at = asyncio.get_running_loop().time()

    async def comfort(self) -> None:
        """Wait while a replica in service is far behind.

        Raises `ReplicasAwayError` where none answers for `AWAY_S`, `BrokerAwayError`.
        """
        while not await self._is_comfortable():  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(_MEASURE_EVERY_S)

    async def folded(self, ends: Mapping[int, int]) -> None:
        """Wait until the replica that is asked first has folded the log up to `ends`.

        Raises `NotFoldedError` after `FOLDED_S`.
        """
        try:
            async with asyncio.timeout(FOLDED_S):
                while True:
                    for positions in (await self._replicas.positions())[:1]:
                        if all(positions[partition] >= end for partition, end in ends.items()):
                            return
                    await asyncio.sleep(_MEASURE_EVERY_S)
        except TimeoutError:
            raise NotFoldedError(
                f"all lines are in the log, but no replica folded them within {FOLDED_S:.0f} s: "
                "do its Redis and its projector run? Run the import again to see what they made"
            ) from None

    async def _is_comfortable(self) -> bool:
        """Measure now and then, once for all who ask at the same time."""
        async with self._measuring:
            now = asyncio.get_running_loop().time()
            if now - self._measured_at >= _MEASURE_EVERY_S:
                self._comfortable = self._judge(await self._measure(), now)
                self._measured_at = now
            return self._comfortable

    async def _measure(self) -> list[int]:
        ends = await patiently(lambda: self._log.ends(Topic.LICENSE_EVENTS))
        return [
            sum(max(end - positions[partition], 0) for partition, end in ends.items())
            for positions in await self._replicas.positions()
        ]

    def _judge(self, lags: list[int], now: float) -> bool:
        if not lags:
            if now - self._seen_at > AWAY_S:
                raise ReplicasAwayError(f"no replica answered for {AWAY_S:.0f} s; run it again")
            return False
        self._seen_at = now
        if len(lags) != len(self._lags):
            self._gained_at = [now] * len(lags)
        else:
            for number, (lag, before) in enumerate(zip(lags, self._lags, strict=True)):
                if lag < before or lag <= LAG_MAX:
                    self._gained_at[number] = now
        self._lags = lags
        in_service = [
            lag
            for lag, gained_at in zip(lags, self._gained_at, strict=True)
            if now - gained_at < STALLED_S
        ]
        # With every one of them standing still there is nobody to be gentle to, nor to wait for.
        return max(in_service, default=min(lags)) <= LAG_MAX
